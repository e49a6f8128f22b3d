"""Records as token ids: what stands before an answer, the answer, its labels, and what does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from training.core.collate.profile import informed, quoted
from training.core.collate.turns import encode_completion, encode_prompt, turn_of
from training.core.judging import question
from training.core.pictures import Pictures
from training.core.principles import asked
from training.core.records import (
    SATISFIED,
    Comparison,
    Criticised,
    CriticisedPair,
    Demonstration,
    Document,
    Judged,
    Outcome,
    Pair,
    Person,
    Ranking,
    Rated,
    Record,
    Refused,
    SaferPair,
    Tally,
    answers_images,
    critique_asked,
    images_of,
    prompt_hash,
)


@dataclass(frozen=True)
class Example:
    """A record as token ids. `completions` holds the chosen and the rejected one, or the only one there is."""

    line: int
    prompt_hash: str
    prompt: list[int]
    completions: tuple[list[int], ...]
    value: float  # the pair's strength, or the example's weight
    domain: str = ""
    labels: Mapping[str, float] = field(default_factory=dict)  # what people gave it, by name
    annotator_weight: float = 1.0  # of a pair
    annotator: str = ""  # of a pair, or of one person's pairs: the pseudonym of who judged
    user: int = -1  # the number of that person to a policy that knows its users; -1 for nobody
    # The prompt behind what that person says of their wishes; empty where they say nothing.
    informed: list[int] = field(default_factory=list)
    # Where the sides are asked about in different words, what stands before each of them besides the prompt.
    openings: tuple[list[int], ...] = ()
    pictures: Mapping[str, Tensor] = field(default_factory=dict)  # the prompt's images, as a processor has them
    # Where an answer has images: those of each side, the prompt's among them.
    answered: tuple[Mapping[str, Tensor], ...] = ()

    def shown(self, side: int) -> Mapping[str, Tensor]:
        """Return the images that stand before the end of a side."""
        return self.answered[side] if self.answered else self.pictures

    @property
    def sequences(self) -> list[tuple[list[int], list[int]]]:
        """What stands before each completion, and the completion."""
        if not self.openings:
            return [(self.prompt, completion) for completion in self.completions]
        return [
            (self.prompt + opening, completion)
            for opening, completion in zip(self.openings, self.completions, strict=True)
        ]

    @property
    def length(self) -> int:
        """The longest sequence, which decides what the example costs in a padded batch."""
        longest = max(len(before) + len(completion) for before, completion in self.sequences)
        return longest + max(len(self.informed) - len(self.prompt), 0)


def encode(
    records: Sequence[tuple[int, Record]],
    tokenizer: PreTrainedTokenizerBase,
    tally: Tally,
    *,
    max_length: int,
    pictures: Pictures | None = None,
    profile_tokens: int = 0,
) -> list[Example]:
    """Return the records as ids; prompts that are too long lose their beginning, rows that cannot fit are refused.

    Both completions of a pair keep the same prompt, however long each is: else the pair would compare contexts too.
    Prompts with images need the model's processor, `pictures`; one that is too long is refused, as half an image is
    none. Where an answer has images, it is read as part of what is shown, and only the end of the turn is its own. Of
    what a person says of their wishes `profile_tokens` are read; where that does not fit, the row is read without.
    """
    opening = {tokenizer.bos_token_id, tokenizer.cls_token_id} - {None}
    examples: list[Example] = []
    for line, record in records:
        if isinstance(record, Document):
            examples += _passages(line, record, tokenizer, tally, max_length=max_length)
            continue
        try:
            shown: Mapping[str, Tensor] = {}
            answered: tuple[Mapping[str, Tensor], ...] = ()
            if answers_images(record):
                prompt, openings, completions, value, answered = _answered(tokenizer, pictures, record)
            else:
                prompt, openings, completions, value = _encoded(tokenizer, record)
                if pictures is not None or images_of(record):
                    prompt, shown = _with_images(pictures, record)
            before = openings or ([],) * len(completions)
            sides = [(*opening, *completion) for opening, completion in zip(before, completions, strict=True)]
            # Two images may take the same ids; whether they are one is known by their names.
            if isinstance(record, Pair) and not answered and len(set(sides)) < len(sides):
                raise Refused("identical")
            room = max_length - max(map(len, sides))
            if shown and len(prompt) > room:
                raise Refused("too_long")
            kept = prompt[:1] if prompt and prompt[0] in opening else []
            if room <= len(kept) and (prompt or room < 0):
                raise Refused("too_long")
        except Refused as refusal:
            tally.refuse(str(refusal), line)
            continue
        if len(prompt) > room:
            prompt = kept + prompt[len(prompt) - room + len(kept) :]
            tally.counts["truncated"] += 1
        before_it: list[int] = []
        if profile_tokens and isinstance(record, Pair) and record.profile and not shown and not answered:
            before_it = _informed(record, tokenizer, tally, room=room, most=profile_tokens)
        examples.append(
            Example(
                line=line,
                prompt_hash=identity_of(record),
                prompt=prompt,
                completions=completions,
                value=value,
                domain=record.domain,
                labels=_labels(record),
                openings=openings,
                pictures=shown,
                answered=answered,
                annotator_weight=record.annotator_weight if isinstance(record, Pair) else 1.0,
                annotator=record.annotator if isinstance(record, Pair | Person) else "",
                informed=before_it,
            )
        )
    return examples


def _informed(record: Pair, tokenizer: PreTrainedTokenizerBase, tally: Tally, *, room: int, most: int) -> list[int]:
    """Return a pair's prompt behind what its person says of their wishes; nothing where that leaves no room."""
    told = quoted(tokenizer, record.profile, most=most)
    if not told.text:
        return []
    ids = encode_prompt(tokenizer, informed(tokenizer, record.prompt, told.text, most=most))
    if len(ids) > room:
        tally.counts["profile_left_out"] += 1
        return []
    tally.counts["with_profile"] += 1
    tally.counts["profile_cut"] += told.is_cut
    return ids


def _passages(
    line: int, record: Document, tokenizer: PreTrainedTokenizerBase, tally: Tally, *, max_length: int
) -> list[Example]:
    """Return a document cut into windows of at most `max_length` tokens, as a base model reads it: by no template.

    A window begins with the last token of the one before, so that each token but the first is predicted once, the
    first one too where the tokenizer opens a text by a token of its own; behind the last stands its end.
    """
    ids = list(tokenizer(record.text, add_special_tokens=False, verbose=False)["input_ids"])
    end = tokenizer.eos_token_id
    if {end, tokenizer.bos_token_id} & set(ids) - {None, tokenizer.unk_token_id}:
        tally.refuse("ends_inside", line)
        return []
    opened = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    ids = [*opened, *ids, *([end] if end is not None else [])]
    if len(ids) < 2:
        tally.refuse("empty", line)
        return []
    starts = range(0, len(ids) - 1, max_length - 1)
    return [
        Example(
            line=line,
            prompt_hash=identity_of(record),
            prompt=ids[start : start + 1],
            completions=(ids[start + 1 : start + max_length],),
            value=1.0,
            domain=record.domain,
        )
        for start in starts
    ]


def identity_of(record: Record) -> str:
    """Return the identity of a record's prompt: with other images the same words are another prompt."""
    shown = images_of(record)
    asked = record.asked if isinstance(record, Demonstration) and record.asked is not None else record.prompt
    return prompt_hash([*asked, *({"role": "image", "content": one} for one in shown)])


def _with_images(pictures: Pictures | None, record: Record) -> tuple[list[int], Mapping[str, Tensor]]:
    plain = isinstance(record, Pair | Demonstration | Rated) and not isinstance(record, Comparison | CriticisedPair)
    if pictures is None or not plain:
        raise Refused("images")
    return pictures.encode(record.prompt, images_of(record))


def _answered(
    tokenizer: PreTrainedTokenizerBase, pictures: Pictures | None, record: Record
) -> tuple[list[int], tuple[list[int], ...], tuple[list[int], ...], float, tuple[Mapping[str, Tensor], ...]]:
    """Return what `_encoded` does of a record whose answers have images, and the images that each side shows."""
    plain = isinstance(record, Pair | Rated) and not isinstance(record, Comparison | CriticisedPair)
    if pictures is None or not pictures.answers or not plain:
        raise Refused("images")
    assert isinstance(record, Pair | Rated)
    end = turn_of(tokenizer).end_id
    texts = _texts(record) if isinstance(record, Pair) else (record.completion,)
    both = [
        pictures.encode_answered(record.prompt, text, (*record.images, *images), end_id=end)
        for text, images in zip(texts, answers_images(record), strict=True)
    ]
    value = record.strength if isinstance(record, Pair) else record.weight
    openings, answered = tuple(ids for ids, _ in both), tuple(tensors for _, tensors in both)
    return [], openings, ([end],) * len(both), value, answered


Encoded = tuple[list[int], tuple[list[int], ...], tuple[list[int], ...], float]


def _encoded(tokenizer: PreTrainedTokenizerBase, record: Record) -> Encoded:
    """Return a record's prompt, openings and completions as ids, and its strength or weight."""
    if isinstance(record, Comparison):
        # As of a judged principle: what is to be said is one token, and the head knows which.
        for text in (record.chosen, record.rejected):
            encode_completion(tokenizer, text)
        orders = [(record.chosen, record.rejected), (record.rejected, record.chosen)]
        openings = tuple(encode_prompt(tokenizer, question(record.prompt, *o, reasoned=False)) for o in orders)
        return [], openings, ([], []), record.strength
    if isinstance(record, CriticisedPair):
        # What is learned to be written is the critique; prompt and answer only stand before it.
        for text in _texts(record):
            encode_completion(tokenizer, text)
        openings = tuple(encode_prompt(tokenizer, critique_asked(record.prompt, text)) for text in _texts(record))
        critiques = (record.chosen_critique, record.rejected_critique)
        return [], openings, tuple(encode_completion(tokenizer, text) for text in critiques), record.strength
    if isinstance(record, Judged):
        # The answer is part of what is asked; what is to be said is one token, and the head knows which.
        encode_completion(tokenizer, record.completion)
        return encode_prompt(tokenizer, asked(record.prompt, record.completion, record.principle)), (), ([],), 1.0
    if isinstance(record, Person):
        shown = [(pair.prompt, text) for pair in (*record.context, *record.target) for text in _texts(pair)]
        openings = tuple(encode_prompt(tokenizer, prompt) for prompt, _ in shown)
        return [], openings, tuple(encode_completion(tokenizer, text) for _, text in shown), 1.0
    if isinstance(record, Ranking):
        completions = tuple(encode_completion(tokenizer, text) for text in record.completions)
        return encode_prompt(tokenizer, record.prompt), (), completions, 1.0
    assert not isinstance(record, Criticised | Document), "critiques are paired before, and texts cut"
    texts = _texts(record) if isinstance(record, Pair) else (record.completion,)
    if isinstance(record, Outcome):
        value = record.reward
    else:
        value = record.strength if isinstance(record, Pair) else record.weight
    completions = tuple(encode_completion(tokenizer, text) for text in texts)
    return encode_prompt(tokenizer, record.prompt), (), completions, value


def _texts(pair: Pair) -> tuple[str, str]:
    return pair.chosen, pair.rejected


def _labels(record: Record) -> dict[str, float]:
    """Return the numbers that a record has besides its texts and its weight."""
    if isinstance(record, Person):
        return {"context": float(len(record.context))}
    if isinstance(record, Rated):
        return dict(record.labels)
    if isinstance(record, Judged):
        return {SATISFIED: record.label}
    if isinstance(record, Ranking):
        return {str(place): float(rank) for place, rank in enumerate(record.ranks)}
    if isinstance(record, Comparison):
        return {"both": float(record.both), "chosen_first": float(record.chosen_first)}
    if isinstance(record, SaferPair):
        names = ("chosen_is_safe", "rejected_is_safe", "chosen_severity", "rejected_severity")
        return {name: float(getattr(record, name)) for name in names}
    if isinstance(record, Pair) and record.margin is not None:
        return {"reward_margin": record.margin}
    return {}
