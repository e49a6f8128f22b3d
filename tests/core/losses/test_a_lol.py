"""Offline policy gradient: by hand, at the start, and where no gradient may go."""

from __future__ import annotations

import math

import pytest
import torch

from training.core.losses.a_lol import a_lol

KNOBS = {"importance": "sequence", "ratio_clip": 0.9}


def test_by_hand_and_clipped_at_both_ends():
    """Ratios 1, 1.5, 1.9 (of e²) and 0.1 (of e⁻⁹); A = 0.5 and log π = -2: the loss is 0.5 · ρ · 2."""
    logps = torch.full((4,), -2.0)
    gaps = torch.tensor([0.0, math.log(1.5), 2.0, -9.0])
    found = a_lol(logps, logps - gaps, torch.full((4,), 0.5), **KNOBS)
    assert found.tolist() == pytest.approx([1.0, 1.5, 1.9, 0.1])
    free = a_lol(logps, logps - gaps, torch.full((4,), 0.5), importance="none", ratio_clip=0.9)
    assert free.tolist() == [1.0] * 4
    far = a_lol(torch.tensor([-2.0]), torch.tensor([-1e4]), torch.ones(1), **KNOBS)
    assert torch.isfinite(far).all()


def test_at_the_start_it_is_the_reference_free_gradient_and_none_flows_through_ratio_or_value():
    logps = torch.tensor([-3.0, -1.0], requires_grad=True)
    value = torch.tensor([0.2, 0.4], requires_grad=True)
    reference = torch.tensor([-3.0, -1.0], requires_grad=True)
    a_lol(logps, reference, 1.0 - value, **KNOBS).sum().backward()
    assert logps.grad.tolist() == pytest.approx([-0.8, -0.6]) and value.grad is None and reference.grad is None
    moved = torch.tensor([-3.0 + math.log(1.5)], requires_grad=True)
    a_lol(moved, torch.tensor([-3.0]), torch.ones(1), **KNOBS).backward()
    assert moved.grad.tolist() == pytest.approx([-1.5])  # through the ratio it would be -1.5 (1 + log π)
