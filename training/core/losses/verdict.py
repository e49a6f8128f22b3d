"""The better of two answers that are read together."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def verdict(
    first: Tensor, second: Tensor, weight_first: Tensor, weight_second: Tensor, *, consistency: float
) -> Tensor:
    """Return -w_1 log σ(z_1) - w_2 log σ(-z_2) + γ (σ(z_1) + σ(z_2) - 1)², (P,), with z = log p(A) - log p(B).

    z_1 is what is said when the chosen answer stands first, z_2 when it stands second; each order has its weight, and
    they sum to 1. The likelihood is that of arXiv:2504.04950 with both orders of a pair (its equations could not be
    read); the last term is ours: without a preference for a place the two probabilities of A sum to 1. It counts only
    where both orders do.
    """
    assert first.shape == second.shape == weight_first.shape == weight_second.shape and first.dim() == 1
    first, second = first.float(), second.float()
    likelihood = -weight_first * logsigmoid(first) - weight_second * logsigmoid(-second)
    both = (weight_first > 0) & (weight_second > 0)
    return likelihood + consistency * torch.where(both, (first.sigmoid() + second.sigmoid() - 1) ** 2, 0.0)
