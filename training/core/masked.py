"""Arithmetic under a mask. Numbers are made finite before they are masked: 0 · NaN is NaN, and so is its gradient."""

from __future__ import annotations

from torch import Tensor


def masked_sum(values: Tensor, mask: Tensor) -> Tensor:
    """Return the sum over the last dimension of the values under the mask; what is not under it cannot matter."""
    return values.masked_fill(~mask.bool(), 0.0).sum(-1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the last dimension of the values under the mask, 0 where there are none."""
    return masked_sum(values, mask) / mask.sum(-1).clamp(min=1)
