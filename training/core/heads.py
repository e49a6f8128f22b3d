"""Heads: from a sequence's pooled hidden state (B, D) to named scores (B, K). And where that state is read.

A head has a `kind`, the `names` of its K outputs, `settings` from which it is built again, and the same few methods:
`forward` gives the outputs, `combined` one number of them that is higher for what is better, `spread` how unsure each
output is, and `calibrate` is told the outputs on rows that were not trained on, once training is over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

SMALLEST_SPREAD = 1e-3
MIXED = "mixed"  # name of the column in which a gate puts its mixture of the others


@dataclass(frozen=True)
class Scores:
    """K named numbers of each of B sequences; `spread` (B, K) is a standard deviation, where a head has one."""

    values: Tensor
    names: tuple[str, ...]
    spread: Tensor | None = None

    def named(self, name: str) -> Tensor:
        """Return the column (B,) of that name."""
        return self.values[:, self.names.index(name)]


class Head(nn.Module):
    """What all heads have. A head without a calibration or a spread of its own takes these."""

    kind = ""

    def __init__(self, hidden_size: int, names: Sequence[str]) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.names = tuple(names)

    @property
    def settings(self) -> dict[str, Any]:
        """Return what `HEADS[kind](hidden_size, **settings)` needs to build this head again, as JSON."""
        return {"names": list(self.names)}

    def combined(self, values: Tensor) -> Tensor:
        """Return one number a sequence, (B,), of its outputs (B, K): higher is better."""
        return values.mean(-1)

    def spread(self, pooled: Tensor) -> Tensor | None:
        """Return the standard deviation of each output as the head itself has it, (B, K), or None."""
        return None

    def calibrate(self, values: Tensor) -> None:
        """Take note of the outputs (N, K) on a common set of rows."""


def _near_zero(layer: nn.Linear, generator: torch.Generator | None = None) -> nn.Linear:
    """Return `layer` with weights that give scores near 0, with a spread of about 0.1 on normalised states."""
    nn.init.normal_(layer.weight, std=0.1 * layer.in_features**-0.5, generator=generator)
    return layer


class ScalarHead(Head):
    """One score a sequence. It has no bias: only differences of scores are learned from, where a bias cancels."""

    kind = "scalar"

    def __init__(self, hidden_size: int, names: Sequence[str] = ("reward",)) -> None:
        super().__init__(hidden_size, names)
        # Scores start near 0 with a spread of about 0.1 on normalised states, so that the first losses are near ln 2.
        self.score = _near_zero(nn.Linear(hidden_size, 1, bias=False))

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, D) → (B, 1) in float32."""
        return nn.functional.linear(pooled.float(), self.score.weight.float())

    def combined(self, values: Tensor) -> Tensor:
        return values.squeeze(-1)


class CostHead(Head):
    """One cost a sequence, higher for what is worse, 0 at the border of safe: so it has a bias. Its score is -cost."""

    kind = "cost"

    def __init__(self, hidden_size: int, names: Sequence[str] = ("cost",)) -> None:
        super().__init__(hidden_size, names)
        self.score = _near_zero(nn.Linear(hidden_size, 1))
        nn.init.zeros_(self.score.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, D) → (B, 1) in float32."""
        return nn.functional.linear(pooled.float(), self.score.weight.float(), self.score.bias.float())

    def combined(self, values: Tensor) -> Tensor:
        return -values.squeeze(-1)


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
            return _near_zero(nn.Linear(self.hidden_size, 1, bias=False), generator)
        first = nn.Linear(self.hidden_size, self.width)
        nn.init.normal_(first.weight, std=self.hidden_size**-0.5, generator=generator)
        nn.init.normal_(first.bias, std=0.1, generator=generator)
        return nn.Sequential(first, nn.Tanh(), _near_zero(nn.Linear(self.width, 1, bias=False), generator))

    @property
    def settings(self) -> dict[str, Any]:
        return {"names": list(self.names), "width": self.width}

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
    """M members that each give the mean and the standard deviation of a normal score. arXiv:2409.15360 (BRME)."""

    kind = "gaussian"

    def __init__(self, hidden_size: int, names: Sequence[str], *, width: int) -> None:
        super().__init__(hidden_size, names)
        self.width = width
        self.means = EnsembleHead(hidden_size, names, width=width)
        self.deviations = EnsembleHead(hidden_size, names, width=width)

    @property
    def settings(self) -> dict[str, Any]:
        return {"names": list(self.names), "width": self.width}

    @property
    def seeds(self) -> Tensor:
        return self.means.seeds

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, D) → the means (B, M) in float32."""
        return self.means(pooled)

    def spread(self, pooled: Tensor) -> Tensor:
        """(B, D) → the standard deviations (B, M), in the units of the means; at least `SMALLEST_SPREAD`."""
        raw = self.deviations(pooled)
        return nn.functional.softplus(raw) / self.means.std + SMALLEST_SPREAD

    def calibrate(self, values: Tensor) -> None:
        self.means.calibrate(values)


class AttributesHead(Head):
    """K attributes a sequence, each with weight and bias: absolute ratings have a zero of their own."""

    kind = "attributes"

    def __init__(self, hidden_size: int, names: Sequence[str]) -> None:
        super().__init__(hidden_size, names)
        self.rate = _near_zero(nn.Linear(hidden_size, len(names)))
        nn.init.zeros_(self.rate.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, D) → (B, K) in float32."""
        return nn.functional.linear(pooled.float(), self.rate.weight.float(), self.rate.bias.float())


HEADS: dict[str, Callable[..., Head]] = {
    head.kind: head for head in (ScalarHead, CostHead, EnsembleHead, GaussianHead, AttributesHead)
}


def scalar(hidden_size: int, names: Sequence[str], start: Head | None) -> Head:
    """Return the head to go on with: `start` if it is of this kind, else a new one."""
    return start if isinstance(start, ScalarHead) else ScalarHead(hidden_size)


def cost(hidden_size: int, names: Sequence[str], start: Head | None) -> Head:
    """Return a head for costs."""
    return start if isinstance(start, CostHead) else CostHead(hidden_size)


def ensemble(hidden_size: int, names: Sequence[str], start: Head | None, *, members: int, width: int) -> Head:
    """Return an ensemble; `width` is that of each member's hidden layer, 0 for none."""
    if isinstance(start, EnsembleHead) and (len(start.names), start.width) == (members, width):
        return start
    return EnsembleHead(hidden_size, _numbered(members), width=width)


def gaussian(hidden_size: int, names: Sequence[str], start: Head | None, *, members: int, width: int) -> Head:
    """Return an ensemble of Gaussian members."""
    if isinstance(start, GaussianHead) and (len(start.names), start.width) == (members, width):
        return start
    return GaussianHead(hidden_size, _numbered(members), width=width)


def attributes(hidden_size: int, names: Sequence[str], start: Head | None) -> Head:
    """Return a head with one output for each attribute that the data rates."""
    if isinstance(start, AttributesHead) and start.names == tuple(names):
        return start
    return AttributesHead(hidden_size, names)


def _numbered(members: int) -> list[str]:
    return [f"reward_{number}" for number in range(1, members + 1)]


def last_token(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """(B, T, D) → (B, D): the state at the last real token, on whichever side the padding is."""
    position = torch.arange(hidden.shape[1], device=hidden.device)
    last = (attention_mask * position).argmax(-1)  # (B,)
    return hidden[torch.arange(len(hidden), device=hidden.device), last]


def mean_token(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """(B, T, D) → (B, D): the mean state over the real tokens."""
    mask = attention_mask.unsqueeze(-1).float()
    return (hidden.float() * mask).sum(1) / mask.sum(1).clamp(min=1)


POOLING = {"last": last_token, "mean": mean_token}
