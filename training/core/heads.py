"""Heads: from a sequence's pooled hidden state (B, D) to scores. And where that state is read."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ScalarHead(nn.Module):
    """One score a sequence. It has no bias: only differences of scores are learned from, where a bias cancels."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.score = nn.Linear(hidden_size, 1, bias=False)
        # Scores start near 0 with a spread of about 0.1 on normalised states, so that the first losses are near ln 2.
        nn.init.normal_(self.score.weight, std=0.1 * hidden_size**-0.5)

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, D) → (B,) in float32."""
        return nn.functional.linear(pooled.float(), self.score.weight.float()).squeeze(-1)


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
