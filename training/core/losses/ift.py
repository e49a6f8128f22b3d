"""Intuitive fine-tuning: each token is weighed by what goes wrong behind it."""

from __future__ import annotations

import torch
from torch import Tensor


def ift(logps: Tensor, mask: Tensor, *, decay: float) -> Tensor:
    """Return (1/N) Σ_t w_t · (-l_t), (B,), over a completion's N tokens under `mask`, (B, T). arXiv:2405.11870.

    w_t ∝ Σ_{k ≥ t} γ^{k - t} (-l_k), scaled so that Σ w_t = N: an early token is answerable for what follows from it.
    Without decay, γ = 0, all weights are 1 and it is supervised fine-tuning, as in the authors' code; the limit of
    small γ would weigh each token by its own loss. The weights have their gradient there; ours are numbers, so that a
    token is made likelier and never only less answerable.
    """
    assert logps.shape == mask.shape and logps.dim() == 2
    own = (-logps).masked_fill(~mask, 0.0)
    count = mask.sum(1).clamp(min=1)
    if decay == 0.0:
        return own.sum(1) / count
    with torch.no_grad():
        weights = torch.zeros_like(own)
        later = torch.zeros(len(own), device=own.device)
        for t in reversed(range(own.shape[1])):
            later = torch.where(mask[:, t], own[:, t] + decay * later, later)
            weights[:, t] = torch.where(mask[:, t], later, 0.0)
        weights = weights / weights.sum(1, keepdim=True).clamp(min=1e-12) * count.unsqueeze(1)
    return (weights * own).sum(1) / count
