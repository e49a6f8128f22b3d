"""Shapes live here: what a loss and an objective are given.

Legend: B sequences, P pairs, T tokens, K outputs of a head or labels of a row. Sequences are padded on the right, and
a mask says what is real: never the value of a token, because a tokenizer may pad with its end token.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

# The images of a sequence: how many of its ids the processor made, and the tensors beside them by the family's names.
Shown = tuple[int, Mapping[str, Tensor]]
NOTHING: Shown = (0, {})


@dataclass(frozen=True)
class Tokens:
    """B sequences of prompt and completion; all three tensors are (B, T)."""

    input_ids: Tensor
    attention_mask: Tensor
    completion_mask: Tensor  # the completion up to and including its end token
    pictures: tuple[Shown, ...] = ()  # of each sequence; empty where none shows an image

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def images(self) -> dict[str, Tensor]:
        """What a vision-language model wants besides, by its own names; empty where there are no images."""
        found = batched(self.pictures, longest=self.input_ids.shape[1])
        return {name: value.to(self.input_ids.device) for name, value in found.items()}

    def rows(self, chosen: Sequence[int]) -> Tokens:
        """Return the sequences of these rows, in this order."""
        some = list(chosen)
        shown = tuple(self.pictures[row] for row in some) if self.pictures else ()
        return Tokens(self.input_ids[some], self.attention_mask[some], self.completion_mask[some], shown)

    def to(self, device: torch.device) -> Tokens:
        moved = (self.input_ids.to(device), self.attention_mask.to(device), self.completion_mask.to(device))
        return Tokens(*moved, self.pictures)


def together(several: Sequence[Tokens]) -> Tokens:
    """Return sequences that are padded to one length as one batch."""
    return Tokens(
        torch.cat([one.input_ids for one in several]),
        torch.cat([one.attention_mask for one in several]),
        torch.cat([one.completion_mask for one in several]),
        shown_by(shown for one in several for shown in one.pictures or (NOTHING,) * len(one)),
    )


def shown_by(pictures: Iterable[Shown]) -> tuple[Shown, ...]:
    """Return what each sequence shows, or nothing at all where none shows anything."""
    every = tuple(pictures)
    return every if any(tensors for _, tensors in every) else ()


def batched(rows: Sequence[Shown], *, longest: int, left: bool = False) -> dict[str, Tensor]:
    """Return the images of B sequences as one batch; some may have none.

    What is one a token, (1, T), is padded to `longest` with zeros, on the right or on the `left`. What is one an image,
    (N, …), stands in a row. Where a family keeps the images of a sequence together, (1, N, …), those with fewer are
    filled up with images of zeros, which it takes for none.
    """
    found: dict[str, Tensor] = {}
    for name in sorted({name for _, tensors in rows for name in tensors}):
        values = [(length, tensors.get(name)) for length, tensors in rows]
        there = [(length, value) for length, value in values if value is not None]
        example = there[0][1]
        if all(value.shape == (1, length) for length, value in there):
            whole = [example.new_zeros(1, 0) if value is None else value for _, value in values]
            gaps = [longest - value.shape[1] for value in whole]
            sides = [(gap, 0) if left else (0, gap) for gap in gaps]
            found[name] = torch.cat([pad(value, side) for value, side in zip(whole, sides, strict=True)])
        elif _is_together(name, {name: value for _, tensors in rows for name, value in tensors.items()}):
            most = max(value.shape[1] for _, value in there)
            whole = [example.new_zeros(1, 0, *example.shape[2:]) if value is None else value for _, value in values]
            found[name] = torch.cat([_filled(value, most) for value in whole])
        else:
            found[name] = torch.cat([value for _, value in there])
    return found


def _is_together(name: str, tensors: dict[str, Tensor]) -> bool:
    """Return whether a family keeps the images of a sequence together: then its pixels are (1, N, channels, …)."""
    return tensors.get("pixel_values", tensors[name]).dim() == 5


def _filled(value: Tensor, most: int) -> Tensor:
    """Return (1, N, …) as (1, `most`, …), with zeros behind."""
    missing = most - value.shape[1]
    return torch.cat([value, value.new_zeros(1, missing, *value.shape[2:])], dim=1) if missing else value


@dataclass(frozen=True)
class Pairs:
    """P pairs as 2·P sequences, the chosen ones first, so that one forward pass serves both sides."""

    tokens: Tokens
    strength: Tensor  # (P,) how much better the chosen one is: 1/3, 2/3 or 1
    # Log-probabilities of the completions under the frozen reference, (2·P,); None where no reference is needed.
    reference_logps: Tensor | None = None
    # Other numbers of each pair by name, each (P,); `row` is its line in the data.
    extra: dict[str, Tensor] = field(default_factory=dict)
    # The same sequences behind what the person who judged says of their wishes; None where nobody says anything.
    informed: Tokens | None = None

    def __len__(self) -> int:
        return len(self.strength)

    def to(self, device: torch.device) -> Pairs:
        reference = self.reference_logps
        return replace(
            self,
            tokens=self.tokens.to(device),
            strength=self.strength.to(device),
            reference_logps=reference if reference is None else reference.to(device),
            extra={name: values.to(device) for name, values in self.extra.items()},
            informed=None if self.informed is None else self.informed.to(device),
        )


@dataclass(frozen=True)
class Demonstrations:
    """B sequences whose completions are to be imitated, each with its weight (B,)."""

    tokens: Tokens
    weight: Tensor

    def __len__(self) -> int:
        return len(self.weight)

    def to(self, device: torch.device) -> Demonstrations:
        return replace(self, tokens=self.tokens.to(device), weight=self.weight.to(device))


@dataclass(frozen=True)
class Labelled:
    """B sequences with K numbers each that people gave them; NaN where nobody gave one."""

    tokens: Tokens
    labels: Tensor  # (B, K)
    weight: Tensor  # (B,)

    def __len__(self) -> int:
        return len(self.weight)

    def to(self, device: torch.device) -> Labelled:
        return Labelled(self.tokens.to(device), self.labels.to(device), self.weight.to(device))


@dataclass(frozen=True)
class Outcomes:
    """B sequences whose completions were so much better than expected."""

    tokens: Tokens
    advantage: Tensor  # (B,)
    reference_logps: Tensor | None = None  # (B,) of the completions under the frozen reference

    def __len__(self) -> int:
        return len(self.advantage)

    def to(self, device: torch.device) -> Outcomes:
        reference = self.reference_logps
        return Outcomes(
            self.tokens.to(device),
            self.advantage.to(device),
            reference if reference is None else reference.to(device),
        )


@dataclass(frozen=True)
class People:
    """U people with C pairs to know them by and Q pairs to be told right, of which each belongs to one person.

    The sequences are, in this order: C chosen, C rejected, Q chosen, Q rejected.
    """

    tokens: Tokens  # 2·C + 2·Q sequences
    known_of: Tensor  # (C,) whose pair it is, from 0 to U - 1
    asked_of: Tensor  # (Q,)
    row: Tensor  # (U,) the person's line in the data

    def __len__(self) -> int:
        return len(self.row)

    def to(self, device: torch.device) -> People:
        return People(*(getattr(self, f.name).to(device) for f in fields(self)))


@dataclass(frozen=True)
class Rankings:
    """U rankings as N sequences, those of a ranking one after the other."""

    tokens: Tokens  # N sequences
    of: Tensor  # (N,) the ranking that it belongs to, from 0 to U - 1
    rank: Tensor  # (N,) 1 is best, equal ranks are ties

    def __len__(self) -> int:
        return int(self.of[-1]) + 1

    def to(self, device: torch.device) -> Rankings:
        return Rankings(*(getattr(self, f.name).to(device) for f in fields(self)))


Batch = Pairs | Demonstrations | Labelled | People | Outcomes | Rankings


@dataclass(frozen=True)
class LossOutput:
    """What an objective says of each example. The loop takes one weighted mean of it over everything it sums up."""

    loss: Tensor  # (B,) or (P,)
    weight: Tensor  # same shape
    # name → same shape, detached; NaN where a metric says nothing of an example
    metrics: dict[str, Tensor] = field(default_factory=dict)
