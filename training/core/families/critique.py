"""The head that writes before it scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from training.core.families.base import Head, near_zero


class CritiqueHead(Head):
    """A score, read at the end of a critique, and an output layer of V words by which the critique is written.

    arXiv:2502.10391, section 3.2. The output layer is a copy of the policy's own (`start_from`), so that the backbone
    can be any body without one; where it was tied to the embeddings, the two part ways in training.
    """

    kind = "critique"

    def __init__(self, hidden_size: int, names: Sequence[str] = ("reward",), *, vocabulary: int = 0) -> None:
        super().__init__(hidden_size, names)
        self.score = near_zero(nn.Linear(hidden_size, 1, bias=False))
        self.write = nn.Linear(hidden_size, vocabulary, bias=False)

    @property
    def settings(self) -> dict[str, Any]:
        return {"names": list(self.names), "vocabulary": self.write.out_features}

    def start_from(self, rows: Tensor) -> None:
        """Take the output layer (V, D) of a language model."""
        self.write = nn.Linear(rows.shape[1], rows.shape[0], bias=False)
        with torch.no_grad():
            self.write.weight.copy_(rows)

    def words(self, hidden: Tensor) -> Tensor:
        """(…, D) → logits (…, V) in float32."""
        return nn.functional.linear(hidden.float(), self.write.weight.float())

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, D) → (B, 1) in float32."""
        return nn.functional.linear(pooled.float(), self.score.weight.float())

    def combined(self, values: Tensor) -> Tensor:
        return values.squeeze(-1)


def critique(hidden_size: int, names: Sequence[str], start: Head | None) -> Head:
    """Return a head that writes critiques; it has no words until it is given those of a language model."""
    return start if isinstance(start, CritiqueHead) else CritiqueHead(hidden_size)
