"""Imitation: the mean over a completion's tokens, and nothing outside of it."""

from __future__ import annotations

import torch

from training.core.losses.sft import nll


def test_hand_computed_numbers():
    """Row 0: (0.5 + 1.5)/2 = 1; row 1: 4/1 = 4."""
    logps = torch.tensor([[0.0, -0.5, -1.5], [-9.0, -4.0, -7.0]])
    mask = torch.tensor([[False, True, True], [False, True, False]])
    torch.testing.assert_close(nll(logps, mask), torch.tensor([1.0, 4.0]))


def test_what_is_outside_the_mask_cannot_matter_even_when_it_is_not_a_number():
    logps = torch.tensor([[float("nan"), -0.5, float("-inf")]], requires_grad=True)
    mask = torch.tensor([[False, True, False]])
    loss = nll(logps, mask)
    loss.sum().backward()
    assert loss.item() == 0.5
    torch.testing.assert_close(logps.grad, torch.tensor([[0.0, -1.0, 0.0]]))


def test_a_row_without_tokens_is_zero_not_nan():
    assert nll(torch.zeros(1, 3), torch.zeros(1, 3, dtype=torch.bool)).item() == 0.0
