"""The critic: how much reward is to be expected before each token is written."""

from __future__ import annotations

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
        hidden = self.backbone(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state
        values = self.value(hidden.to(self.value.weight.dtype)).squeeze(-1).float()
        before = torch.cat([torch.zeros_like(values[:, :1]), values[:, :-1]], 1)
        return before.masked_fill(~tokens.completion_mask, 0.0)
