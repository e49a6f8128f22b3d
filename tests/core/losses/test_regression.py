"""Squared error, and what a missing label does: nothing at all."""

from __future__ import annotations

import torch

from training.core.losses.regression import regression


def test_hand_computed_numbers():
    """(1 - 3)² = 4 and (2.5 - 2)² = 0.25."""
    values = regression(torch.tensor([[1.0, 2.5]]), torch.tensor([[3.0, 2.0]]))
    assert values.tolist() == [[4.0, 0.25]]


def test_extreme_outputs_give_finite_gradients():
    outputs = torch.tensor([[1e18, -1e18]], requires_grad=True)
    regression(outputs, torch.zeros(1, 2)).sum().backward()
    assert torch.isfinite(outputs.grad).all()
