"""The critic: how much reward is to be expected before each token is written."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from training.core.batch import Tokens


class Critic(nn.Module):
    """A backbone and one number a token. At t it has seen what comes before token t, and not the token itself.

    A critic that reads the state behind the token knows the action it is to be a baseline for (card 14 names released
    code that does). The head starts at 0, so that the first advantages are the rewards themselves.
    """

    def __init__(self, backbone: nn.Module, hidden_size: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.value = nn.Linear(hidden_size, 1)
        nn.init.zeros_(self.value.weight)
        nn.init.zeros_(self.value.bias)

    def forward(self, tokens: Tokens) -> Tensor:
        """Return (B, T) in float32, 0 outside the completion."""
        hidden = _states(self.backbone, tokens)
        return _before(self.value(hidden.to(self.value.weight.dtype)).squeeze(-1).float(), tokens)


class DoubleCritic(nn.Module):
    """As `Critic`, with two heads of two layers on normalised states and their soft minimum. SAFE, arXiv:2602.04651.

    Two that learn from the same returns err differently, and the lower is taken softly: -α log ½ (e^{-V₁/α} +
    e^{-V₂/α}), between their minimum (α → 0) and their mean. The last layers start at 0 and the first ones apart, so
    that both say 0 and do not stay one and the same.
    """

    def __init__(self, backbone: nn.Module, hidden_size: int, *, softness: float) -> None:
        super().__init__()
        self.backbone = backbone
        self.softness = softness
        self.heads = nn.ModuleList(_head(hidden_size) for _ in range(2))

    def forward(self, tokens: Tokens) -> Tensor:
        """Return (B, T) in float32, 0 outside the completion."""
        hidden = _states(self.backbone, tokens)
        one, other = (head(hidden.float()).squeeze(-1) for head in self.heads)
        return _before(soft_minimum(one, other, softness=self.softness), tokens)


def soft_minimum(one: Tensor, other: Tensor, *, softness: float) -> Tensor:
    """Return -α log ½ (e^{-V₁/α} + e^{-V₂/α})."""
    return -softness * (torch.logaddexp(-one / softness, -other / softness) - math.log(2))


def _head(hidden_size: int) -> nn.Module:
    last = nn.Linear(hidden_size, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.LayerNorm(hidden_size), nn.Linear(hidden_size, hidden_size), nn.Tanh(), last)


def _states(backbone: nn.Module, tokens: Tokens) -> Tensor:
    more = tokens.images
    hidden: Tensor = backbone(
        input_ids=tokens.input_ids, attention_mask=tokens.attention_mask, **more
    ).last_hidden_state
    return hidden


def _before(values: Tensor, tokens: Tokens) -> Tensor:
    """Return the values at the token before each, (B, T), 0 outside the completion."""
    before = torch.cat([torch.zeros_like(values[:, :1]), values[:, :-1]], 1)
    return before.masked_fill(~tokens.completion_mask, 0.0)
