"""The expected squared error of a normal score: by hand, and against drawing it."""

from __future__ import annotations

import torch

from training.core.losses.gaussian import gaussian


def test_hand_computed_numbers():
    """Mean 2, deviation 0.5, target 3: 1 + 0.25. Without a deviation it is the squared error."""
    values = gaussian(torch.tensor([[2.0, -1.0]]), torch.tensor([[0.5, 0.0]]), torch.tensor([[3.0, 1.0]]))
    assert values.tolist() == [[1.25, 4.0]]


def test_it_is_the_mean_over_samples():
    noise = torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    drawn = ((0.7 + 0.4 * noise - 1.5) ** 2).mean()
    exact = gaussian(torch.tensor([[0.7]]), torch.tensor([[0.4]]), torch.tensor([[1.5]]))[0, 0]
    assert abs(drawn - exact) < 0.01


def test_extreme_values_give_finite_gradients():
    means = torch.tensor([[1e18, -1e18]], requires_grad=True)
    gaussian(means, torch.full((1, 2), 1e-3), torch.zeros(1, 2)).sum().backward()
    assert torch.isfinite(means.grad).all()
