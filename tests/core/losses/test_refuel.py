"""REFUEL. By hand at η = 2: log-ratios 1 and -0.5 with a gap of 1 give (1.5 - 2)² = 0.25."""

from __future__ import annotations

import torch

from training.core.losses.refuel import refuel


def test_hand_computed_numbers_and_their_gradient():
    """d/dh_w = 2 · (1.5 - 2) = -1: the better answer is to become likelier; at h_w - h_l = 2 it is enough."""
    chosen = torch.tensor([1.0, 1.5], requires_grad=True)
    loss = refuel(chosen, torch.tensor([-0.5, -0.5]), torch.tensor([1.0, 1.0]), eta=2.0)
    assert loss.tolist() == [0.25, 0.0]
    loss.sum().backward()
    assert chosen.grad.tolist() == [-1.0, 0.0]


def test_exchanging_the_two_changes_nothing():
    a, b, gap = torch.tensor([[0.3], [-1.1], [0.7]])
    assert torch.equal(refuel(a, b, gap, eta=3.0), refuel(b, a, -gap, eta=3.0))


def test_without_eta_the_policy_is_held_where_it_is():
    assert refuel(torch.zeros(1), torch.zeros(1), torch.ones(1), eta=0.0).item() == 0.0
