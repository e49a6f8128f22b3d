"""What all heads have: from a sequence's pooled hidden state (B, D) to named scores (B, K).

A head has a `kind`, the `names` of its K outputs, `settings` from which it is built again, and the same few methods:
`forward` gives the outputs, `combined` one number of them that is higher for what is better, `spread` how unsure each
output is, and `calibrate` is told the outputs on rows that were not trained on, once training is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from training.recipes.note import Note


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
    reads_prompt = False  # whether `forward` wants the state at the prompt's end too
    wants_reference = False  # whether `prepare` is told the outputs on rows that are not trained on, before training

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

    @property
    def log_odds(self) -> Tensor | None:
        """Of an ensemble: how much a unit of each output is in the member's own log-odds, (M,). Else None."""
        return None

    def spread(self, pooled: Tensor) -> Tensor | None:
        """Return the standard deviation of each output as the head itself has it, (B, K), or None."""
        return None

    def prepare(self, values: Tensor) -> list[Note]:
        """Take note of the outputs (N, K) on rows that are not trained on, before training starts.

        Returns what there is to say of it.
        """
        return []

    def calibrate(self, values: Tensor) -> None:
        """Take note of the outputs (N, K) on a common set of rows, when training is over."""


def near_zero(layer: nn.Linear, generator: torch.Generator | None = None) -> nn.Linear:
    """Return `layer` with weights that give scores near 0, with a spread of about 0.1 on normalised states."""
    nn.init.normal_(layer.weight, std=0.1 * layer.in_features**-0.5, generator=generator)
    return layer
