"""Regression on what people gave points for."""

from __future__ import annotations

from torch import Tensor


def regression(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return (f - y)², (B, K). arXiv:2406.12845, eq. 1, where the weights alone are fitted, by least squares.

    Both have to be finite: the lift says which labels there are.
    """
    assert outputs.shape == labels.shape and outputs.dim() == 2
    return (outputs.float() - labels) ** 2
