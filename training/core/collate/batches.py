"""Examples padded into batches, one function for each kind of batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from training.core.batch import Batch, Demonstrations, Labelled, Outcomes, Pairs, People, Rankings, Tokens, shown_by
from training.core.collate.examples import Example


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
            "says": torch.tensor([bool(one.informed) for one in examples]),
        },
        informed=_informed(examples, pad_id),
    )


def _informed(examples: Sequence[Example], pad_id: int) -> Tokens | None:
    """Return the pairs behind what people say of their wishes, those of whom nothing is known as they are."""
    if not any(example.informed for example in examples):
        return None
    both = [(example.informed or example.prompt, example.completions) for example in examples]
    return pad([(prompt, completions[side]) for side in (0, 1) for prompt, completions in both], pad_id)


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
    "documents": collate_demonstrations,
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
