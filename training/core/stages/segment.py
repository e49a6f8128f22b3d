"""Tokens become macro actions: the slot `segment`. Each gives (B, T) numbers 0, 1, … per completion, -1 outside."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from training.core.rollout import Rollout


def ngram(rollout: Rollout, *, tokens_each: int) -> Rollout:
    """Every n tokens are one action; n = 1 is PPO on tokens. MA-RLHF, arXiv:2410.02743, section 3.2.1."""
    return replace(rollout, segments=_numbered(_place(rollout.mask) % tokens_each == 0, rollout.mask))


def whole(rollout: Rollout) -> Rollout:
    """The completion is one action, as for a bandit. MA-RLHF, arXiv:2410.02743, section 3.2.1 (n → ∞)."""
    return replace(rollout, segments=torch.where(rollout.mask, 0, -1))


def perplexity(rollout: Rollout) -> Rollout:
    """An action ends where the reference begins to be more surprised. MA-RLHF, arXiv:2410.02743, section 3.2.1.

    A token starts an action when its surprise under the reference, -log π_ref, is above that of the token before it.
    The reference and not the policy: with the latter the actions would change as it learns.
    """
    assert rollout.reference_logps is not None
    surprise = -rollout.reference_logps
    before = torch.cat([surprise[:, :1], surprise[:, :-1]], 1)
    return replace(rollout, segments=_numbered((surprise > before) | (_place(rollout.mask) == 0), rollout.mask))


def _place(mask: Tensor) -> Tensor:
    """Return (B, T): 0, 1, 2, … along each completion, -1 before it."""
    return mask.long().cumsum(1) - 1


def _numbered(starts: Tensor, mask: Tensor) -> Tensor:
    """Return the number of the action each token belongs to, given where actions start."""
    return torch.where(mask, (starts & mask).long().cumsum(1) - 1, -1)
