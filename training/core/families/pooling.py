"""Where the state of a sequence is read."""

from __future__ import annotations

import torch
from torch import Tensor


def last_token(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """(B, T, D) → (B, D): the state at the last real token, on whichever side the padding is."""
    position = torch.arange(hidden.shape[1], device=hidden.device)
    last = (attention_mask * position).argmax(-1)  # (B,)
    return hidden[torch.arange(len(hidden), device=hidden.device), last]


def mean_token(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """(B, T, D) → (B, D): the mean state over the real tokens."""
    mask = attention_mask.unsqueeze(-1).float()
    return (hidden.float() * mask).sum(1) / mask.sum(1).clamp(min=1)


def prompt_end(hidden: Tensor, attention_mask: Tensor, completion_mask: Tensor) -> Tensor:
    """(B, T, D) → (B, D): the state at the last token of the prompt, which has seen nothing of the answer."""
    return last_token(hidden, attention_mask * ~completion_mask.bool())


POOLING = {"last": last_token, "mean": mean_token}
