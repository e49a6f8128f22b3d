"""Heads of several members, whose disagreement tells what they have not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from training.core.families.base import Head, near_zero
from training.core.families.single import ScalarHead
from training.core.job import RunError
from training.recipes.note import Note

SMALLEST_SPREAD = 1e-3


class EnsembleHead(Head):
    """M members over one backbone, each a small network with numbers of its own.

    A member's numbers come from a generator of its own, seeded from torch's global one: members that started alike
    would not disagree. Trained members are standardised on a common set: every Bradley-Terry score has an offset and
    a scale of its own, which cancel in training but not in a minimum or a variance over the members.
    """

    kind = "ensemble"
    seeds: Tensor  # (M,) what each member's numbers came from, and which rows it is shown how often
    mean: Tensor  # (M,)
    std: Tensor

    def __init__(self, hidden_size: int, names: Sequence[str], *, width: int) -> None:
        super().__init__(hidden_size, names)
        self.width = width
        seeds = torch.randint(2**31, (len(names),))
        self.members = nn.ModuleList(self._member(int(seed)) for seed in seeds)
        self.register_buffer("seeds", seeds)
        self.register_buffer("mean", torch.zeros(len(names)))
        self.register_buffer("std", torch.ones(len(names)))

    def _member(self, seed: int) -> nn.Module:
        generator = torch.Generator().manual_seed(seed)
        if not self.width:
            return near_zero(nn.Linear(self.hidden_size, 1, bias=False), generator)
        first = nn.Linear(self.hidden_size, self.width)
        nn.init.normal_(first.weight, std=self.hidden_size**-0.5, generator=generator)
        nn.init.normal_(first.bias, std=0.1, generator=generator)
        return nn.Sequential(first, nn.Tanh(), near_zero(nn.Linear(self.width, 1, bias=False), generator))

    @property
    def settings(self) -> dict[str, Any]:
        return {"names": list(self.names), "width": self.width}

    @property
    def log_odds(self) -> Tensor:
        return self.std

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, D) → (B, M) in float32."""
        with torch.autocast(pooled.device.type, enabled=False):
            raw = torch.cat([member(pooled.float()) for member in self.members], dim=-1)
        return (raw - self.mean) / self.std

    @torch.no_grad()
    def calibrate(self, values: Tensor) -> None:
        """Standardise the members on their outputs (N, M): mean 0 and standard deviation 1 each."""
        self.mean += self.std * values.mean(0)
        self.std *= values.std(0, correction=0).clamp(min=1e-6)


class GaussianHead(Head):
    """M members that each give the mean and the standard deviation of a normal score. arXiv:2409.15360 (BRME).

    They learn from the score of `nominal`, the frozen head of the reward model that they stand on.
    """

    kind = "gaussian"

    def __init__(self, hidden_size: int, names: Sequence[str], *, width: int) -> None:
        super().__init__(hidden_size, names)
        self.width = width
        self.nominal = ScalarHead(hidden_size).requires_grad_(False)
        self.means = EnsembleHead(hidden_size, names, width=width)
        self.deviations = EnsembleHead(hidden_size, names, width=width)

    @property
    def settings(self) -> dict[str, Any]:
        return {"names": list(self.names), "width": self.width}

    @property
    def seeds(self) -> Tensor:
        return self.means.seeds

    @property
    def log_odds(self) -> Tensor:
        return self.means.std

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, D) → the means (B, M) in float32."""
        return self.means(pooled)

    def spread(self, pooled: Tensor) -> Tensor:
        """(B, D) → the standard deviations (B, M), in the units of the means; at least `SMALLEST_SPREAD`."""
        raw = self.deviations(pooled)
        return nn.functional.softplus(raw) / self.means.std + SMALLEST_SPREAD

    def calibrate(self, values: Tensor) -> None:
        self.means.calibrate(values)


def ensemble(hidden_size: int, names: Sequence[str], start: Head | None, *, members: int, width: int) -> Head:
    """Return an ensemble; `width` is that of each member's hidden layer, 0 for none."""
    if isinstance(start, EnsembleHead) and (len(start.names), start.width) == (members, width):
        return start
    return EnsembleHead(hidden_size, _numbered(members), width=width)


def gaussian(hidden_size: int, names: Sequence[str], start: Head | None, *, members: int, width: int) -> Head:
    """Return an ensemble of Gaussian members that stands on a plain reward model's head."""
    if isinstance(start, GaussianHead) and (len(start.names), start.width) == (members, width):
        return start
    if not isinstance(start, ScalarHead):
        raise RunError(Note("A robust reward model stands on a plain one. Train the recipe bradley-terry first."))
    head = GaussianHead(hidden_size, _numbered(members), width=width)
    head.nominal.load_state_dict(start.state_dict())
    return head


def _numbered(members: int) -> list[str]:
    return [f"reward_{number}" for number in range(1, members + 1)]
