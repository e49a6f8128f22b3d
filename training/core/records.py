"""Rows of the views, read and checked: nothing is dropped without a count and a reason. Free of torch.

Each view has a reader, ``parse(row) -> record``, which raises `Refused` for a row that cannot be learned from.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.recipes.note import Note

Message = dict[str, str]

SATISFIED = "satisfied"  # the label of a judged principle

ROLES = ("system", "user", "assistant")


class Refused(Exception):
    """One row is not used; the reason is a key of `REASONS`."""


REASONS = {
    "malformed": Note("do not have the columns of their view"),
    "several_turns": Note("are about several turns at once; only single answers can be learned from"),
    "empty": Note("have an empty prompt or completion"),
    "identical": Note("compare a completion with itself"),
    "too_long": Note("have a completion that does not fit into max_length"),
    "ends_inside": Note("have the model's end-of-turn token inside a completion"),
    "images": Note("have images where this recipe or this model reads text alone"),
    "no_image": Note("have an image whose file is not there or cannot be opened"),
    "unlabelled": Note("have no label that can be learned from"),
    "no_consensus": Note("are judgements that not everybody who judged the answer agrees with"),
    "repeated": Note("say what another row says already"),
    "no_rival": Note("have no other answer to the same prompt beside them that was given more or fewer points"),
    "unlike": Note("have answers that are no correction of each other, so that there is nothing to rewrite"),
    "no_samples": Note("have no answers of the policy beside them that say something else"),
    "unscored": Note("have an answer that the reward model cannot read"),
    "no_trace": Note("have no reasoning that comes to what the person said"),
    "too_many": Note("rank more answers to one prompt than 10"),
    "weightless": Note("count nothing by the weight of who judged them"),
    "audit": Note("belong to the audit slice, which is never trained on"),
}


@dataclass(frozen=True)
class Pair:
    """Two completions of one prompt, of which a person preferred `chosen`."""

    prompt: list[Message]
    chosen: str
    rejected: str
    strength: float = 1.0
    audit: bool = False
    domain: str = ""
    images: tuple[str, ...] = ()  # of the prompt, in the order of their marks: sha256 or path
    chosen_first: bool = True  # whether the chosen one stood first on the screen
    # Judgements of it that were thought aloud, each with whether it calls the chosen one A.
    traces: tuple[tuple[str, bool], ...] = ()
    # How reliable who judged it is, 1 in the mean and 0 for who answers by chance; see `annotation.reliability`.
    annotator_weight: float = 1.0
    margin: float | None = None  # how much better a reward model finds the chosen one, where a recipe asks one
    chosen_images: tuple[str, ...] = ()  # of the answers, as `images` of the prompt
    rejected_images: tuple[str, ...] = ()
    annotator: str = ""  # the pseudonym of who judged it; empty where nobody says


@dataclass(frozen=True)
class Comparison(Pair):
    """A pair that is judged by reading both answers at once."""

    both: bool = True  # whether in both orders, or only in the one in which it was seen


@dataclass(frozen=True)
class Demonstration:
    """A completion worth imitating."""

    prompt: list[Message]
    completion: str
    weight: float = 1.0
    audit: bool = False
    domain: str = ""
    images: tuple[str, ...] = ()  # of the prompt, in the order of their marks: sha256 or path
    samples: tuple[str, ...] = ()  # what the policy answers to the same prompt now
    mode: str = ""  # the behaviour that it shows, of a policy with several; see `training.core.modes`
    asked: list[Message] | None = None  # the prompt that it is split by, where something is put before it


@dataclass(frozen=True)
class SaferPair(Pair):
    """Two completions of one prompt, of which `chosen` is the safer one, each with its own label."""

    chosen_is_safe: bool = True
    rejected_is_safe: bool = False
    chosen_severity: float = 0.0  # 0 safe, 1 minor, 2 moderate, 3 severe
    rejected_severity: float = 0.0


@dataclass(frozen=True)
class Rated:
    """A completion with the points it was given, by attribute."""

    prompt: list[Message]
    completion: str
    labels: dict[str, float]
    weight: float = 1.0
    audit: bool = False
    domain: str = ""
    images: tuple[str, ...] = ()  # of the prompt, in the order of their marks: sha256 or path
    completion_images: tuple[str, ...] = ()  # of the answer


@dataclass(frozen=True)
class Judged:
    """Whether a completion satisfies a principle, as somebody said."""

    prompt: list[Message]
    completion: str
    principle: str
    label: float  # 1 yes, 0 no
    annotator: str = ""
    audit: bool = False
    domain: str = ""


@dataclass(frozen=True)
class Criticised:
    """A completion with what somebody wrote about it, and the points it was given."""

    prompt: list[Message]
    completion: str
    critique: str
    score: float
    annotator: str = ""
    audit: bool = False
    domain: str = ""


@dataclass(frozen=True)
class CriticisedPair(Pair):
    """Two completions of one prompt with a critique each."""

    chosen_critique: str = ""
    rejected_critique: str = ""


CRITICISE = "Write a critique of your answer: what is good about it, and what is not."


def critique_asked(prompt: list[Message], completion: str) -> list[Message]:
    """Return the conversation at whose end a critique of the completion is written."""
    return [*prompt, {"role": "assistant", "content": completion}, {"role": "user", "content": CRITICISE}]


@dataclass(frozen=True)
class Person:
    """What one person preferred: pairs to get to know the person by, and pairs to be told right, of other prompts."""

    annotator: str
    context: tuple[Pair, ...]
    target: tuple[Pair, ...]
    audit: bool = False
    domain: str = ""

    @property
    def prompt(self) -> list[Message]:
        """What the rows are split by: people who are measured on are never trained on."""
        return [{"role": "user", "content": self.annotator}]


@dataclass(frozen=True)
class Outcome:
    """A completion with one number for how good it is."""

    prompt: list[Message]
    completion: str
    reward: float
    audit: bool = False
    domain: str = ""


@dataclass(frozen=True)
class Ranking:
    """Several completions of one prompt in the order in which somebody put them: 1 is best, equal ranks are ties."""

    prompt: list[Message]
    completions: tuple[str, ...]
    ranks: tuple[int, ...]
    audit: bool = False
    domain: str = ""


Record = Pair | Demonstration | Rated | Judged | Person | Criticised | Outcome | Ranking
MOST_RANKED = 10  # of one prompt: a likelihood with ties looks at all subsets


@dataclass
class Tally:
    """Counts of what became of the rows, and the sentences a person reads about them."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[int]] = field(default_factory=dict)  # reason → the first few line numbers

    def refuse(self, reason: str, line: int) -> None:
        self.counts[f"refused_{reason}"] += 1
        lines = self.examples.setdefault(reason, [])
        if len(lines) < 5:
            lines.append(line)

    def notes(self) -> list[Note]:
        """Return one sentence for each reason for which rows were refused or shortened."""
        said = []
        for reason, meaning in REASONS.items():
            count = self.counts[f"refused_{reason}"]
            if count:
                where = ", ".join(map(str, self.examples[reason]))
                said.append(
                    # Translators: {why} is one of the clauses that begin "do not have the columns of their view".
                    Note(
                        "{n} rows were left out because they {why} (lines {lines}).",
                        n=count,
                        why=meaning,
                        lines=where + _more(count),
                    )
                )
        if self.counts["truncated"]:
            said.append(
                Note(
                    "{n} prompts were cut on the left so that prompt and completion fit into max_length.",
                    n=self.counts["truncated"],
                )
            )
        return said


def _more(count: int) -> str:
    return ", …" if count > 5 else ""


def canonical(messages: list[Message]) -> str:
    """Return the one JSON text that stands for `messages`, whoever wrote them."""
    return json.dumps(messages, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def prompt_hash(messages: list[Message]) -> str:
    """Return the prompt's identity; the same as the annotation side's, so that both split alike."""
    return hashlib.sha256(canonical(messages).encode()).hexdigest()


def held_out(hash: str, *, share: float = 0.1) -> bool:
    """Return whether a prompt is for evaluation only. With a share of 0.1 this is the annotation side's split.

    That split takes the numbers that end in 0; a larger share takes those that end in 1, 2, … as well, so that a
    prompt held out once stays held out.
    """
    number = int(hash[:8], 16)
    tenth = 0x1_0000_0000 // 10 + 1
    return (number % 10) * tenth + number // 10 < round(share * 10 * tenth)


IMAGE = "\ufffc"  # Unicode's object replacement character: where an image stands in a text


def messages_of(value: Any, *, images: bool = False) -> list[Message]:
    """Return a prompt as messages; a plain string is one user turn. With `images` each of them is a mark, `IMAGE`."""
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    if not isinstance(value, list) or not value:
        raise Refused("empty" if value == [] else "malformed")
    for message in value:
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise Refused("malformed")
    messages = [{"role": message["role"], "content": _text(message.get("content"), images=images)} for message in value]
    if not any(message["content"].strip() for message in messages):
        raise Refused("empty")
    return messages


def pictures_of(row: dict[str, Any], messages: Sequence[Message]) -> tuple[str, ...]:
    """Return what the images of a row's prompt are known by, sha256 or path, in the order of their marks."""
    return _pictures(
        row.get("images"),
        marks=sum(message["content"].count(IMAGE) for message in messages),
        placeholders=any(_has_image(message.get("content")) for message in _listed(row.get("prompt"))),
    )


def _pictures_in(row: dict[str, Any], side: str, text: str) -> tuple[str, ...]:
    """Return what the images of an answer are known by: those of the column `chosen` stand in `chosen_images`."""
    there = any(_has_image(message.get("content")) for message in _listed(row.get(side)))
    return _pictures(row.get(f"{side}_images"), marks=text.count(IMAGE), placeholders=there)


def _pictures(given: Any, *, marks: int, placeholders: bool) -> tuple[str, ...]:
    given = given or []
    if not isinstance(given, list):
        raise Refused("malformed")
    found = [one.get("sha256") or one.get("path") if isinstance(one, dict) else one for one in given]
    if not all(isinstance(one, str) and one for one in found):
        raise Refused("malformed")
    if found and marks != len(found):
        raise Refused("malformed")
    if not found and placeholders:
        raise Refused("images")
    return tuple(map(str, found))


def _listed(value: Any) -> list[Any]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _has_image(content: Any) -> bool:
    return any(part.get("type") == "image" for part in _listed(content))


def _text(content: Any, *, images: bool = False) -> str:
    """Return the text of a message, which in a campaign with images is a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise Refused("malformed")
    if not images and any(part.get("type") == "image" for part in content):
        raise Refused("images")
    texts = [IMAGE if part.get("type") == "image" else part.get("text") for part in content]
    if not all(isinstance(text, str) for text in texts):
        raise Refused("malformed")
    return "\n\n".join(str(text) for text in texts)


def completion_of(value: Any, *, images: bool = False) -> str:
    """Return a completion's text; as messages it must be a single assistant turn. `images` as in `messages_of`."""
    if isinstance(value, list):
        if len(value) > 1:
            raise Refused("several_turns")
        if not value or not isinstance(value[0], dict) or value[0].get("role") != "assistant":
            raise Refused("malformed")
        value = _text(value[0].get("content"), images=images)
    if not isinstance(value, str):
        raise Refused("malformed")
    if not value.strip():
        raise Refused("empty")
    return value


def _number(row: dict[str, Any], key: str) -> float:
    value = row.get(key)
    if value is None:
        return 1.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise Refused("malformed")
    return float(value)


def parse_pair(row: dict[str, Any]) -> Pair:
    """Return the record of a row of the view `pairs`."""
    chosen, rejected = (completion_of(row.get(side), images=True) for side in ("chosen", "rejected"))
    shown = _pictures_in(row, "chosen", chosen), _pictures_in(row, "rejected", rejected)
    if chosen.strip() == rejected.strip() and shown[0] == shown[1]:
        raise Refused("identical")
    prompt = messages_of(row.get("prompt"), images=True)
    return Pair(
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        strength=_number(row, "strength"),
        audit=bool(row.get("audit")),
        domain=str(row.get("domain") or ""),
        images=pictures_of(row, prompt),
        chosen_first=row.get("position") != 1,
        traces=_traces(row.get("traces") or []),
        annotator_weight=_weight(row.get("annotator_weight")),
        chosen_images=shown[0],
        rejected_images=shown[1],
        annotator=str(row.get("annotator") or ""),
    )


def _traces(value: Any) -> tuple[tuple[str, bool], ...]:
    """Return reasoning about a pair: a list of {"text", "first"}, where `first` says which answer it calls A."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise Refused("malformed")
    told = [(one.get("text"), one.get("first")) for one in value]
    if not all(isinstance(text, str) and first in ("chosen", "rejected") for text, first in told):
        raise Refused("malformed")
    return tuple((str(text), first == "chosen") for text, first in told)


def _weight(value: Any) -> float:
    """Return a weight, which may be 0; 1 where none is known."""
    if value is None:
        return 1.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise Refused("malformed")
    return float(value)


def weighted(records: Sequence[tuple[int, Record]], tally: Tally) -> list[tuple[int, Record]]:
    """Return the records that count at all: a batch of nothing but weight 0 has no mean."""
    kept = []
    for line, record in records:
        if isinstance(record, Pair) and record.annotator_weight == 0:
            tally.refuse("weightless", line)
        else:
            kept.append((line, record))
    return kept


def parse_demonstration(row: dict[str, Any]) -> Demonstration:
    """Return the record of a row of the view `demonstrations`."""
    prompt = messages_of(row.get("prompt"), images=True)
    return Demonstration(
        prompt=prompt,
        completion=completion_of(row.get("completion")),
        weight=_number(row, "weight"),
        audit=bool(row.get("audit")),
        domain=str(row.get("domain") or ""),
        images=pictures_of(row, prompt),
        samples=_samples(row.get("samples") or []),
    )


def _samples(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise Refused("malformed")
    return tuple(text for text in value if text.strip())


def parse_safer_pair(row: dict[str, Any]) -> SaferPair:
    """Return the record of a row of the view `safer_pairs`."""
    pair = parse_pair(row)
    severities = [row.get(f"{side}_severity") for side in ("chosen", "rejected")]
    safe = [row.get(f"{side}_is_safe") for side in ("chosen", "rejected")]
    if not all(isinstance(value, bool) for value in safe):
        raise Refused("malformed")
    numbers = [
        _finite(value) if value is not None else float(not ok) for value, ok in zip(severities, safe, strict=True)
    ]
    if any((number > 0) == ok for number, ok in zip(numbers, safe, strict=True)):
        raise Refused("malformed")  # safe and severe at once, or unsafe of no severity
    return SaferPair(
        **vars(pair),
        chosen_is_safe=bool(safe[0]),
        rejected_is_safe=bool(safe[1]),
        chosen_severity=numbers[0],
        rejected_severity=numbers[1],
    )


def parse_rated(row: dict[str, Any]) -> Rated:
    """Return the record of a row of the view `ratings`; attributes nobody gave points are left out."""
    given = row.get("ratings")
    if not isinstance(given, dict):
        raise Refused("malformed")
    labels = {str(name): _finite(value) for name, value in given.items() if value is not None}
    if not labels:
        raise Refused("unlabelled")
    prompt, completion = messages_of(row.get("prompt"), images=True), completion_of(row.get("completion"), images=True)
    return Rated(
        prompt=prompt,
        completion=completion,
        labels=labels,
        weight=_number(row, "weight"),
        audit=bool(row.get("audit")),
        domain=str(row.get("domain") or ""),
        images=pictures_of(row, prompt),
        completion_images=_pictures_in(row, "completion", completion),
    )


def parse_outcome(row: dict[str, Any]) -> Outcome:
    """Return the record of a row of the view `outcomes`."""
    if row.get("reward") is None:
        raise Refused("unlabelled")
    return Outcome(
        prompt=messages_of(row.get("prompt")),
        completion=completion_of(row.get("completion")),
        reward=_finite(row["reward"]),
        audit=bool(row.get("audit")),
        domain=str(row.get("domain") or ""),
    )


def parse_ranking(row: dict[str, Any]) -> Ranking:
    """Return the record of a row of the view `rankings`."""
    given, ranks = row.get("completions"), row.get("ranks")
    if not isinstance(given, list) or not isinstance(ranks, list) or not 2 <= len(given) == len(ranks):
        raise Refused("malformed")
    if not all(isinstance(rank, int) and not isinstance(rank, bool) and rank >= 1 for rank in ranks):
        raise Refused("malformed")
    if len(given) > MOST_RANKED:
        raise Refused("too_many")
    if any(isinstance(one, dict) and one.get("images") for one in given):
        raise Refused("images")
    texts = tuple(completion_of(one.get("text") if isinstance(one, dict) else one) for one in given)
    if len({text.strip() for text in texts}) < len(texts):
        raise Refused("identical")
    return Ranking(
        prompt=messages_of(row.get("prompt")),
        completions=texts,
        ranks=tuple(ranks),
        audit=bool(row.get("audit")),
        domain=str(row.get("domain") or ""),
    )


def parse_judged(row: dict[str, Any]) -> Judged:
    """Return the record of a row of the view `principles`; what is partly so or does not apply is no label."""
    principle = row.get("statement") or row.get("principle")
    said = row.get("answer")
    if not isinstance(principle, str) or not principle.strip() or said not in ("yes", "no", "partly", "na"):
        raise Refused("malformed")
    if said not in ("yes", "no"):
        raise Refused("unlabelled")
    return Judged(
        prompt=messages_of(row.get("prompt")),
        completion=completion_of(row.get("completion")),
        principle=principle,
        label=float(said == "yes"),
        annotator=str(row.get("annotator") or ""),
        audit=bool(row.get("audit")),
        domain=str(row.get("domain") or ""),
    )


def parse_person(row: dict[str, Any]) -> Person:
    """Return the record of a row of the view `people`; a pair about a prompt of the targets is no context."""
    if not isinstance(row.get("annotator"), str) or not row["annotator"]:
        raise Refused("malformed")
    sides = []
    for name in ("context", "target"):
        told = row.get(name)
        if not isinstance(told, list) or not all(isinstance(one, dict) for one in told):
            raise Refused("malformed")
        pairs = [parse_pair(one) for one in told]
        if any(images_of(pair) or any(answers_images(pair)) for pair in pairs):
            raise Refused("images")
        sides.append(pairs)
    asked = {prompt_hash(pair.prompt) for pair in sides[1]}
    context = tuple(pair for pair in sides[0] if prompt_hash(pair.prompt) not in asked)
    if not context or not sides[1]:
        raise Refused("unlabelled")
    return Person(row["annotator"], context, tuple(sides[1]), audit=bool(row.get("audit")))


def parse_criticised(row: dict[str, Any]) -> Criticised:
    """Return the record of a row of the view `critiques`; a critique without points does not say which is better."""
    critique = row.get("critique")
    if not isinstance(critique, str):
        raise Refused("malformed")
    if not critique.strip() or row.get("score") is None:
        raise Refused("unlabelled")
    return Criticised(
        prompt=messages_of(row.get("prompt")),
        completion=completion_of(row.get("completion")),
        critique=critique.strip(),
        score=_finite(row["score"]),
        annotator=str(row.get("annotator") or ""),
        audit=bool(row.get("audit")),
        domain=str(row.get("domain") or ""),
    )


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float("inf"):
        raise Refused("malformed")
    return float(value)


def label_names(path: str | Path, view: str, *, images: bool = False) -> tuple[str, ...]:
    """Return the names of what the rows of a file are labelled with, in alphabetical order; of most views none.

    Rows with `images` count where they are learned from.
    """
    if view == "principles":
        return (SATISFIED,)
    if view != "ratings":
        return ()
    rows = read(path, view, Tally(), images=images)
    return tuple(sorted({name for _, record in rows for name in record.labels}))  # type: ignore[union-attr]


def images_of(record: Record) -> tuple[str, ...]:
    """Return what the images of a record's prompt are known by; none of records that only have text."""
    return record.images if isinstance(record, Pair | Demonstration | Rated) else ()


def answers_images(record: Record) -> tuple[tuple[str, ...], ...]:
    """Return of each of a record's answers what its images are known by; nothing of records whose answers are text."""
    if isinstance(record, Pair) and (record.chosen_images or record.rejected_images):
        return record.chosen_images, record.rejected_images
    return (record.completion_images,) if isinstance(record, Rated) and record.completion_images else ()


PARSERS: dict[str, Callable[[dict[str, Any]], Record]] = {
    "pairs": parse_pair,
    "demonstrations": parse_demonstration,
    "safer_pairs": parse_safer_pair,
    "ratings": parse_rated,
    "principles": parse_judged,
    "people": parse_person,
    "critiques": parse_criticised,
    "outcomes": parse_outcome,
    "rankings": parse_ranking,
}


def read(
    path: str | Path, view: str, tally: Tally, *, audit: bool = False, images: bool = False
) -> list[tuple[int, Record]]:
    """Return (line number, record) of every usable row of the file; the others are counted in `tally`.

    Rows of the audit slice are kept only when `audit` says so: for evaluation, never for training. Rows with images
    are kept only for who can show them to a model.
    """
    with Path(path).open(encoding="utf-8") as file:
        return parse_lines(file, view, tally, audit=audit, images=images)


def parse_lines(
    lines: Iterable[str], view: str, tally: Tally, *, audit: bool = False, images: bool = False
) -> list[tuple[int, Record]]:
    """Return what `read` does, of lines at hand."""
    parse = PARSERS[view]
    records = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        tally.counts["read"] += 1
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise Refused("malformed")
            record = parse(row)
            if record.audit and not audit:
                raise Refused("audit")
            if (images_of(record) or answers_images(record)) and not images:
                raise Refused("images")
        except json.JSONDecodeError:
            tally.refuse("malformed", number)
        except Refused as refusal:
            tally.refuse(str(refusal), number)
        else:
            records.append((number, record))
    return records
