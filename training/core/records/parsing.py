"""One parser for each view, ``parse(row) -> record``, which raises `Refused` for a row that cannot be learned from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from training.core.records.kinds import (
    MOST_RANKED,
    Criticised,
    Demonstration,
    Document,
    Judged,
    Outcome,
    Pair,
    Person,
    Ranking,
    Rated,
    Record,
    SaferPair,
    answers_images,
    images_of,
)
from training.core.records.refusals import Refused
from training.core.records.texts import completion_of, messages_of, pictures_in, pictures_of, prompt_hash


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
    shown = pictures_in(row, "chosen", chosen), pictures_in(row, "rejected", rejected)
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
        profile=_text(row.get("profile")),
    )


def where_they_part(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the view `pairs` with two whole dialogues cut to the turn where they part; others as they are.

    What people said is how the dialogues compare. REFUEL (arXiv:2410.04612, eq. 2) learns the parting turn by it: the
    turns after that are in the comparison alone.
    """
    cut = {side: row[side][:1] for side in ("chosen", "rejected") if isinstance(row.get(side), list)}
    return {**row, **cut}


def _text(value: Any) -> str:
    """Return a text that a row may have; empty where it has none."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Refused("malformed")
    return value


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


def parse_document(row: dict[str, Any]) -> Document:
    """Return the record of a row of the view `documents`."""
    text = row.get("text")
    if not isinstance(text, str):
        raise Refused("malformed")
    if not text.strip():
        raise Refused("empty")
    return Document(text=text, audit=bool(row.get("audit")), domain=str(row.get("domain") or ""))


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
        completion_images=pictures_in(row, "completion", completion),
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


PARSERS: dict[str, Callable[[dict[str, Any]], Record]] = {
    "pairs": parse_pair,
    "demonstrations": parse_demonstration,
    "documents": parse_document,
    "safer_pairs": parse_safer_pair,
    "ratings": parse_rated,
    "principles": parse_judged,
    "people": parse_person,
    "critiques": parse_criticised,
    "outcomes": parse_outcome,
    "rankings": parse_ranking,
}
