"""People. By hand: -log σ(1) = 0.3132616875, -log σ(2) = 0.1269280110."""

from __future__ import annotations

import math

import pytest
import torch

from training.core.losses.latent import divergence, latent

ZERO = torch.zeros(2, 3)


def test_a_person_s_loss_is_the_mean_over_that_person_s_pairs():
    """The first person has gaps 1 and 2, the second one -1; at the prior there is no divergence."""
    losses = latent(torch.tensor([1.0, 2.0, -1.0]), torch.tensor([0, 0, 1]), ZERO, ZERO, kl_weight=1.0)
    assert losses.tolist() == pytest.approx([(0.3132616875 + 0.1269280110) / 2, 1.3132616875], abs=1e-6)


def test_the_divergence_of_a_normal_from_the_standard_one():
    """μ = 1, s² = e: ½ (1 + e - 1 - 1) a dimension; at β = 0.1 a tenth of it is added."""
    mean = torch.ones(1, 3)
    by_hand = 3 * 0.5 * (math.e - 1)
    assert divergence(mean, mean).item() == pytest.approx(by_hand, abs=1e-6)
    (loss,) = latent(torch.zeros(1), torch.zeros(1, dtype=torch.long), mean, mean, kl_weight=0.1).tolist()
    assert loss == pytest.approx(math.log(2) + 0.1 * by_hand, abs=1e-6)


def test_extreme_gaps_leave_finite_gradients():
    gaps = torch.tensor([1e6, -1e6], requires_grad=True)
    latent(gaps, torch.tensor([0, 1]), ZERO, ZERO, kl_weight=1.0).sum().backward()
    assert torch.isfinite(gaps.grad).all()
