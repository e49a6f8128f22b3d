"""The head whose attributes are mixed by the prompt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from training.core.families.base import Head
from training.core.families.single import AttributesHead
from training.core.job import RunError
from training.recipes.note import Note

MIXED = "mixed"  # name of the column in which a gate puts its mixture of the others


class GatedHead(Head):
    """K attributes, frozen, and a gate that mixes them by the prompt: Σ_j g_j(x) · r'_j(x, y). arXiv:2406.12845.

    r' = T·r is free of the nuisance: from each attribute so much of it is taken that their rank correlation on a
    reference set is within `debias_limit`, and its own column counts nothing. The gate's softmax is over the
    attributes; in the authors' training script it is over the two answers of a pair, which makes each weight ½.
    Outputs are the K debiased attributes and the mixture, which is the last.
    """

    kind = "gated"
    reads_prompt = True
    wants_reference = True
    transform: Tensor  # (K, K)

    def __init__(
        self, hidden_size: int, names: Sequence[str], *, width: int, temperature: float, nuisance: str, limit: float
    ) -> None:
        super().__init__(hidden_size, names)
        attributes = self.attribute_names
        if nuisance and nuisance not in attributes:
            raise RunError(
                Note(
                    "There is no attribute called {nuisance}. There are: {names}.",
                    nuisance=nuisance,
                    names=", ".join(attributes),
                )
            )
        self.width, self.temperature, self.nuisance, self.limit = width, temperature, nuisance, limit
        self.attributes = AttributesHead(hidden_size, attributes).requires_grad_(False)
        self.gate = nn.Sequential(
            nn.Linear(hidden_size, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, len(attributes)),
        )
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("transform", torch.eye(len(attributes)))

    @property
    def attribute_names(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if name != MIXED)

    @property
    def settings(self) -> dict[str, Any]:
        told = {"width": self.width, "temperature": self.temperature, "nuisance": self.nuisance, "limit": self.limit}
        return {"names": list(self.names), **told}

    def prepare(self, values: Tensor) -> list[Note]:
        """Find T on the attributes (N, K), and the mixture behind them, of rows that are not trained on.

        Says how far it holds: a rank correlation of 0 measured on N answers lies within ±1.96/√(N - 1), and by as much
        the one that `debias` leaves may differ on others.
        """
        self.transform.copy_(debias(values[:, :-1], self.attribute_names, nuisance=self.nuisance, limit=self.limit))
        if not self.nuisance:
            return []
        return [
            Note(
                "{nuisance} is taken out of the other attributes on {n} answers. On others a rank correlation of up to "
                "{most:.2f} with it may be left; more answers that are held out make that smaller.",
                nuisance=self.nuisance,
                n=len(values),
                most=min(self.limit + 1.96 / math.sqrt(max(len(values) - 1, 1)), 1.0),
            )
        ]

    def weights(self, asked: Tensor) -> Tensor:
        """Return the gate's weights (B, K) for the states (B, D) at the ends of the prompts; they sum to 1."""
        with torch.autocast(asked.device.type, enabled=False):
            return (self.gate(asked.float()) / self.temperature).softmax(dim=-1)

    def debiased(self, pooled: Tensor) -> Tensor:
        return self.attributes(pooled) @ self.transform.T

    def contributions(self, pooled: Tensor, asked: Tensor) -> Tensor:
        """Return what each attribute adds to the mixture, (B, K): they sum to it."""
        return self.scale * self.weights(asked) * self.debiased(pooled)

    def forward(self, pooled: Tensor, asked: Tensor) -> Tensor:
        """(B, D) and (B, D) → (B, K + 1) in float32."""
        mixed = self.contributions(pooled, asked).sum(-1, keepdim=True)
        return torch.cat([self.debiased(pooled), mixed], dim=-1)

    def combined(self, values: Tensor) -> Tensor:
        return values[:, -1]


def debias(values: Tensor, names: Sequence[str], *, nuisance: str, limit: float) -> Tensor:
    """Return T (K, K) with r' = T·r: the least share of the nuisance taken from each attribute that frees it.

    Free means a Spearman correlation with the nuisance within ±`limit`. The authors look among eleven shares; we go up
    in steps of a hundredth of the two standard deviations' ratio, to where the correlation has turned.
    """
    transform = torch.eye(len(names), dtype=values.dtype)
    if not nuisance:
        return transform
    column = list(names).index(nuisance)
    ranks = _ranks(values[:, column])
    for j in range(len(names)):
        if j == column:
            transform[j, j] = 0.0
            continue
        unit = values[:, j].std() / values[:, column].std().clamp(min=1e-9) / 100
        start = _correlation(_ranks(values[:, j]), ranks)
        for step in range(201):
            share = step * unit * (1 if start >= 0 else -1)
            if _correlation(_ranks(values[:, j] - share * values[:, column]), ranks).abs() <= limit:
                transform[j, column] = -share
                break
        else:
            raise RunError(
                Note(
                    "{name} cannot be freed of {nuisance}: they are as good as one. Rate answers on which they differ.",
                    name=names[j],
                    nuisance=nuisance,
                )
            )
    return transform


def _ranks(values: Tensor) -> Tensor:
    return values.argsort().argsort().double()


def _correlation(one: Tensor, other: Tensor) -> Tensor:
    one, other = one - one.mean(), other - other.mean()
    return (one * other).sum() / (one.norm() * other.norm()).clamp(min=1e-12)


def gated(
    hidden_size: int,
    names: Sequence[str],
    start: Head | None,
    *,
    gate_width: int,
    gate_temperature: float,
    nuisance: str,
    debias_limit: float,
) -> Head:
    """Return a gate over the attributes of the model that there is."""
    if isinstance(start, GatedHead):
        return start
    if not isinstance(start, AttributesHead):
        raise RunError(Note("A gate mixes attributes. Train the recipe multi-objective on ratings first."))
    head = GatedHead(
        hidden_size,
        [*start.names, MIXED],
        width=gate_width,
        temperature=gate_temperature,
        nuisance=nuisance.strip(),
        limit=debias_limit,
    )
    head.attributes.load_state_dict(start.state_dict())
    return head
