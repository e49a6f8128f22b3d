"""The better of two. By hand: -log σ(1) = 0.3132616875, -log σ(2) = 0.1269280110, σ(1) = 0.7310585786."""

from __future__ import annotations

import math

import pytest
import torch

from training.core.losses.verdict import verdict


def of(first, second, weights=(0.5, 0.5), consistency=0.0):
    told = [torch.tensor([float(x)]) for x in (first, second, *weights)]
    return verdict(*told, consistency=consistency).item()


def test_hand_computed_numbers():
    """Right in both orders: z = 1 with the better one first and -2 with it second."""
    assert of(1, -2) == pytest.approx((0.3132616875 + 0.1269280110) / 2, abs=1e-6)
    assert of(1, -2, (1, 0)) == pytest.approx(0.3132616875, abs=1e-6)
    assert of(1, -2, (0, 1)) == pytest.approx(0.1269280110, abs=1e-6)


def test_what_the_orders_have_to_agree_on():
    """Always saying A with σ(1) leaves (2 · 0.7310585786 - 1)² = 0.2135522; opposite logits agree."""
    assert of(1, 1, consistency=1.0) - of(1, 1) == pytest.approx(0.2135522, abs=1e-6)
    assert of(1, -1, consistency=1.0) == pytest.approx(of(1, -1), abs=1e-6)
    assert of(1, 1, (1, 0), consistency=1.0) == pytest.approx(0.3132616875, abs=1e-6), "one order alone"


def test_extreme_logits_leave_finite_gradients():
    z = torch.tensor([1e4, -1e4], requires_grad=True)
    verdict(z[:1], z[1:], torch.tensor([0.5]), torch.tensor([0.5]), consistency=1.0).sum().backward()
    assert torch.isfinite(z.grad).all()
    assert math.isfinite(of(-1e4, 1e4))
