"""Costs. By hand: -log σ(1) = 0.3132616875, -log σ(2) = 0.1269280110, -log σ(3) = 0.0485873516."""

from __future__ import annotations

import math

import pytest
import torch

from training.core.losses.cost import cost

KNOBS = {"sign_weight": 1.0, "severity_as": "none", "margin_scale": 1.0, "regularization": 0.0}


def of(unsafer, safer, severities, **knobs):
    tensors = [torch.tensor([float(x)]) for x in (unsafer, safer, *severities)]
    return cost(*tensors, **{**KNOBS, **knobs}).item()


def test_hand_computed_numbers():
    """Costs 2 (unsafe) and -1 (safe): -log σ(3) - log σ(2) - log σ(1); the mean square is (4 + 1)/2."""
    assert of(2, -1, (1, 0)) == pytest.approx(0.0485873516 + 0.1269280110 + 0.3132616875, abs=1e-6)
    assert of(2, -1, (1, 0), sign_weight=0.0) == pytest.approx(0.0485873516, abs=1e-6)
    assert of(2, -1, (1, 0), sign_weight=0.0, regularization=0.1) == pytest.approx(0.0485873516 + 0.25, abs=1e-6)


def test_severity_as_margin_and_as_weight():
    """Severe (3) has to come 2 above 0: -log σ(2 - 2) = ln 2. As weight its cost counts three times: -log σ(3·1)."""
    ranked = of(2, -1, (3, 0), sign_weight=0.0)
    margin = of(2, -1, (3, 0), severity_as="margin") - ranked
    assert margin == pytest.approx(math.log(2) + 0.3132616875, abs=1e-6)
    ranked = of(1, -1, (3, 0), sign_weight=0.0)
    weight = of(1, -1, (3, 0), severity_as="weight") - ranked
    assert weight == pytest.approx(0.0485873516 + 0.3132616875, abs=1e-6)


def test_two_unsafe_answers_are_both_pushed_above_zero():
    costs = torch.zeros(2, 1, requires_grad=True)
    cost(costs[0], costs[1], torch.tensor([3.0]), torch.tensor([1.0]), **KNOBS).sum().backward()
    # d/dc of -log σ(c_u - c_s) - log σ(c_u) at 0 is -1/2 - 1/2, and of the safer one 1/2 - 1/2.
    torch.testing.assert_close(costs.grad, torch.tensor([[-1.0], [0.0]]))


@pytest.mark.parametrize("severity_as", ["none", "margin", "weight"])
@pytest.mark.parametrize("extreme", [1e4, -1e4, 1e18])
def test_extreme_costs_give_finite_gradients(severity_as, extreme):
    costs = torch.tensor([extreme], requires_grad=True)
    values = cost(costs, -costs, torch.tensor([3.0]), torch.tensor([0.0]), **{**KNOBS, "severity_as": severity_as})
    values.sum().backward()
    assert torch.isfinite(values).all() and torch.isfinite(costs.grad).all()
