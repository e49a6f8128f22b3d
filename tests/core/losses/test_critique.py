"""Critique, then score. By hand: -log σ(1) = 0.3132616875."""

from __future__ import annotations

import pytest
import torch

from training.core.losses.critique import critique


def of(*numbers, **knobs):
    told = [torch.tensor([float(x)]) for x in numbers]
    return critique(*told, **{"critique_weight": 1.0, "center": 0.0, **knobs}).item()


def test_hand_computed_numbers():
    """Scores 1 and 0, critiques of 2 and 4 nats a token: -log σ(1) + (2 + 4)/2; centred at 0.1 a tenth of (1 + 0)²."""
    assert of(1, 0, 2, 4) == pytest.approx(0.3132616875 + 3, abs=1e-6)
    assert of(1, 0, 2, 4, critique_weight=0.5) == pytest.approx(0.3132616875 + 1.5, abs=1e-6)
    assert of(1, 0, 0, 0, center=0.1) == pytest.approx(0.3132616875 + 0.1, abs=1e-6)


def test_extreme_scores_leave_finite_gradients():
    scores = torch.tensor([1e5, -1e5], requires_grad=True)
    zero = torch.zeros(1)
    critique(scores[1:], scores[:1], zero, zero, critique_weight=1.0, center=0.01).sum().backward()
    assert torch.isfinite(scores.grad).all()
