"""Records → token ids → batches: the chat template, the end of a turn, truncation.

A prompt is rendered by the tokenizer's chat template with the opening of an assistant turn; a completion is its own
tokens after that and exactly one end token, which is how it stands when it is sampled. Joining the two texts before
tokenizing could merge the last token of the one with the first of the other, and training would see a prompt that
sampling never does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from training.core.batch import Batch, Demonstrations, Labelled, Outcomes, Pairs, People, Rankings, Tokens, shown_by
from training.core.conversation import SHOWN, apart, marks
from training.core.judging import question
from training.core.pictures import Pictures
from training.core.principles import asked
from training.core.records import (
    SATISFIED,
    Comparison,
    Criticised,
    CriticisedPair,
    Demonstration,
    Judged,
    Message,
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
from training.errors import TrainingError
from training.recipes.note import Note

PROBE = "attune"


@dataclass(frozen=True)
class Turn:
    """How the chat template writes an assistant turn: what stands before the text, and the token that ends it."""

    head: str  # between the opening of the turn and the text; most often empty
    end_id: int
    end_text: str


def turn_of(tokenizer: PreTrainedTokenizerBase) -> Turn:
    """Return how `tokenizer` writes an assistant turn, found by rendering one."""
    return _turn_of(tokenizer, str(tokenizer.chat_template))


@lru_cache(maxsize=16)
def _turn_of(tokenizer: PreTrainedTokenizerBase, template: str) -> Turn:
    question = [{"role": "user", "content": "?"}]
    opened = _render(tokenizer, question, opened=True)
    whole = _render(tokenizer, [*question, {"role": "assistant", "content": PROBE}], opened=False)
    if PROBE not in whole:  # a template of a model that reads images knows parts alone
        shown, told = ([{"type": "text", "text": text}] for text in ("?", PROBE))
        parts: list[Message] = [{"role": "user", "content": shown}]  # type: ignore[dict-item]
        opened = _render(tokenizer, parts, opened=True)
        whole = _render(tokenizer, [*parts, {"role": "assistant", "content": told}], opened=False)  # type: ignore[dict-item]
    before, found, after = whole.rpartition(PROBE)
    if not found:
        raise TrainingError(
            Note("The chat template does not write what the assistant says. Give the tokenizer another one.")
        )
    # A template may write more or less into an opened turn than into a finished one (an empty thought, say); then
    # the opened turn is right, because it is what the model is given when it answers.
    head = before[len(opened) :] if before.startswith(opened) and not before[len(opened) :].strip() else ""
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    tail = tokenizer(after.lstrip(), add_special_tokens=False)["input_ids"]
    end_id = tail[0] if tail and tail[0] in special else tokenizer.eos_token_id
    if end_id is None:
        end_id = tokenizer.sep_token_id
    if end_id is None:
        raise TrainingError(
            Note(
                "Neither the chat template nor the tokenizer names a token that ends an answer. Set "
                "eos_token in its tokenizer_config.json."
            )
        )
    return Turn(head=head, end_id=int(end_id), end_text=str(tokenizer.convert_ids_to_tokens(int(end_id))))


def _render(tokenizer: PreTrainedTokenizerBase, messages: list[Message], *, opened: bool) -> str:
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=opened))
    except Exception as error:  # the template is a program of the model's author, which may raise anything
        raise Refused("malformed") from error


def encode_prompt(tokenizer: PreTrainedTokenizerBase, messages: list[Message]) -> list[int]:
    """Return the ids of a conversation up to where the assistant speaks; Refused where it has images."""
    if any(message["role"] == SHOWN for message in messages):
        raise Refused("images")
    return list(tokenizer(_render(tokenizer, messages, opened=True), add_special_tokens=False)["input_ids"])


def encode_shown(
    tokenizer: PreTrainedTokenizerBase, pictures: Pictures | None, conversation: list[Message]
) -> tuple[list[int], Mapping[str, Tensor]]:
    """Return the ids of a conversation that may have images (`training.core.conversation`), and these as tensors.

    Without `pictures`, the processor of a model that reads them, it is Refused where it has some.
    """
    if not conversation:  # what stands for itself, such as a prompt that a guard reads
        return [], {}
    if pictures is None:
        return encode_prompt(tokenizer, conversation), {}
    return pictures.encode(*apart(conversation))


def encode_answer(
    tokenizer: PreTrainedTokenizerBase, pictures: Pictures | None, conversation: list[Message], text: str
) -> tuple[list[int], list[int], Mapping[str, Tensor]]:
    """Return the ids of a conversation, those of an answer to it, and the images of both.

    Behind the images of the conversation stand those of an answer that has some. It is read as part of what is shown,
    as it is learned from, and only the end of the turn is its own.
    """
    spoken, images = apart(conversation)
    if pictures is not None and pictures.answers and images and marks(spoken) < len(images):
        end = turn_of(tokenizer).end_id
        ids, tensors = pictures.encode_answered(spoken, text, images, end_id=end)
        return ids, [end], tensors
    completion = encode_completion(tokenizer, text)
    ids, shown = encode_shown(tokenizer, pictures, conversation)
    return ids, completion, shown


def encode_completion(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Return the ids of an answer, with exactly one end token, its last."""
    turn = turn_of(tokenizer)
    while text.rstrip().endswith(turn.end_text):  # some samplers leave it in the text
        text = text.rstrip()[: -len(turn.end_text)]
    if not text.strip():
        raise Refused("empty")
    ids = list(tokenizer(turn.head + text, add_special_tokens=False)["input_ids"])
    if turn.end_id in ids:
        raise Refused("ends_inside")
    return [*ids, turn.end_id]


def encode_conversation(tokenizer: PreTrainedTokenizerBase, messages: list[Message], completion: str) -> list[int]:
    """Return the ids of a conversation with the assistant's answer at its end."""
    return encode_prompt(tokenizer, messages) + encode_completion(tokenizer, completion)


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
    annotator: str = ""  # of a pair: the pseudonym of who judged it
    user: int = -1  # the number of that person to a policy that knows its users; -1 for nobody
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
        return max(len(before) + len(completion) for before, completion in self.sequences)


def encode(
    records: Sequence[tuple[int, Record]],
    tokenizer: PreTrainedTokenizerBase,
    tally: Tally,
    *,
    max_length: int,
    pictures: Pictures | None = None,
) -> list[Example]:
    """Return the records as ids; prompts that are too long lose their beginning, rows that cannot fit are refused.

    Both completions of a pair keep the same prompt, however long each is: else the pair would compare contexts too.
    Prompts with images need the model's processor, `pictures`; one that is too long is refused, as half an image is
    none. Where an answer has images, it is read as part of what is shown, and only the end of the turn is its own.
    """
    opening = {tokenizer.bos_token_id, tokenizer.cls_token_id} - {None}
    examples = []
    for line, record in records:
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
                annotator=record.annotator if isinstance(record, Pair) else "",
            )
        )
    return examples


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
    assert not isinstance(record, Criticised), "critiques are paired before they are encoded"
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


def pad(
    sequences: Sequence[tuple[list[int], list[int]]], pad_id: int, pictures: Sequence[Mapping[str, Tensor]] = ()
) -> Tokens:
    """Return (prompt, completion) sequences as (B, T) tensors, padded on the right; each has its `pictures`."""
    longest = max(len(prompt) + len(completion) for prompt, completion in sequences)
    shape = (len(sequences), longest)
    ids = torch.full(shape, pad_id, dtype=torch.long)
    attention = torch.zeros(shape, dtype=torch.long)
    completed = torch.zeros(shape, dtype=torch.bool)
    for row, (prompt, completion) in enumerate(sequences):
        end = len(prompt) + len(completion)
        ids[row, :end] = torch.tensor(prompt + completion, dtype=torch.long)
        attention[row, :end] = 1
        completed[row, len(prompt) : end] = True
    if not pictures:
        return Tokens(ids, attention, completed)
    shown = shown_by((len(prompt), one) for (prompt, _), one in zip(sequences, pictures, strict=True))
    return Tokens(ids, attention, completed, shown)


def collate_pairs(
    examples: Sequence[Example], pad_id: int, reference: Tensor | None = None, names: Sequence[str] = ()
) -> Pairs:
    """Return P pairs as one batch of 2·P sequences; `reference` (P, 2) holds the reference's log-probabilities."""
    sides = [example.sequences[side] for side in (0, 1) for example in examples]
    extra = {name: torch.tensor([example.labels[name] for example in examples]) for name in examples[0].labels}
    return Pairs(
        tokens=pad(sides, pad_id, [example.shown(side) for side in (0, 1) for example in examples]),
        strength=torch.tensor([example.value for example in examples], dtype=torch.float32),
        reference_logps=None if reference is None else reference.T.reshape(-1),
        extra=extra
        | {
            "row": torch.tensor([example.line for example in examples]),
            "user": torch.tensor([example.user for example in examples]),
            "annotator_weight": torch.tensor([one.annotator_weight for one in examples], dtype=torch.float32),
        },
    )


def collate_demonstrations(
    examples: Sequence[Example], pad_id: int, reference: Tensor | None = None, names: Sequence[str] = ()
) -> Demonstrations:
    """Return B demonstrations as one batch; they have no use for a reference."""
    return Demonstrations(
        tokens=pad(
            [(example.prompt, example.completions[0]) for example in examples],
            pad_id,
            [example.pictures for example in examples],
        ),
        weight=torch.tensor([example.value for example in examples], dtype=torch.float32),
    )


def collate_labelled(
    examples: Sequence[Example], pad_id: int, reference: Tensor | None = None, names: Sequence[str] = ()
) -> Labelled:
    """Return B labelled completions as one batch, with a column of labels for each of `names`, NaN where missing."""
    missing = float("nan")
    return Labelled(
        tokens=pad([example.sequences[0] for example in examples], pad_id, [example.shown(0) for example in examples]),
        labels=torch.tensor([[example.labels.get(name, missing) for name in names] for example in examples]),
        weight=torch.tensor([example.value for example in examples], dtype=torch.float32),
    )


def collate_outcomes(
    examples: Sequence[Example], pad_id: int, reference: Tensor | None = None, names: Sequence[str] = ()
) -> Outcomes:
    """Return B completions with what they are worth; `reference` (B, 1) holds their log-probabilities under it."""
    return Outcomes(
        tokens=pad([(example.prompt, example.completions[0]) for example in examples], pad_id),
        advantage=torch.tensor([example.value for example in examples], dtype=torch.float32),
        reference_logps=None if reference is None else reference[:, 0],
    )


def collate_people(
    examples: Sequence[Example], pad_id: int, reference: Tensor | None = None, names: Sequence[str] = ()
) -> People:
    """Return U people with their pairs as one batch."""
    known: list[list[tuple[list[int], list[int]]]] = [[], []]
    asked_about: list[list[tuple[list[int], list[int]]]] = [[], []]
    known_of, asked_of = [], []
    for number, example in enumerate(examples):
        sequences, context = example.sequences, 2 * int(example.labels["context"])
        for side in (0, 1):
            known[side] += sequences[side:context:2]
            asked_about[side] += sequences[context + side :: 2]
        known_of += [number] * (context // 2)
        asked_of += [number] * ((len(sequences) - context) // 2)
    return People(
        tokens=pad([*known[0], *known[1], *asked_about[0], *asked_about[1]], pad_id),
        known_of=torch.tensor(known_of),
        asked_of=torch.tensor(asked_of),
        row=torch.tensor([example.line for example in examples]),
    )


def collate_rankings(
    examples: Sequence[Example], pad_id: int, reference: Tensor | None = None, names: Sequence[str] = ()
) -> Rankings:
    """Return U rankings as one batch, the completions of each one after the other."""
    return Rankings(
        tokens=pad([sequence for example in examples for sequence in example.sequences], pad_id),
        of=torch.tensor([number for number, example in enumerate(examples) for _ in example.completions]),
        rank=torch.tensor([int(one.labels[str(place)]) for one in examples for place in range(len(one.completions))]),
    )


Collate = Callable[[Sequence[Example], int, Tensor | None, Sequence[str]], Batch]

COLLATE: dict[str, Collate] = {
    "pairs": collate_pairs,
    "safer_pairs": collate_pairs,
    "comparisons": collate_pairs,
    "criticised_pairs": collate_pairs,
    "demonstrations": collate_demonstrations,
    "ratings": collate_labelled,
    "principles": collate_labelled,
    "people": collate_people,
    "outcomes": collate_outcomes,
    "rankings": collate_rankings,
}
