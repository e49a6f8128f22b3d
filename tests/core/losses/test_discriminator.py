"""Before or after. By hand: -log σ(2) = 0.1269280110, -log σ(-1) = 1.3132616875, -log σ(0) = ln 2."""

from __future__ import annotations

import pytest
import torch

from training.core.losses.discriminator import discriminator

ONES = torch.ones(2)


def test_hand_computed_numbers():
    """(0.1269280110 + 1.3132616875) / 2 for scores 2 and 1; a pair that scores 0 twice costs ln 2."""
    values = discriminator(torch.tensor([2.0, 0.0]), torch.tensor([1.0, 0.0]), ONES)
    torch.testing.assert_close(values, torch.tensor([0.7200948493, 0.6931471806]))


def test_unlike_a_ranking_it_sees_an_offset():
    same = discriminator(torch.tensor([3.0]), torch.tensor([1.0]), ONES[:1])
    shifted = discriminator(torch.tensor([1.0]), torch.tensor([-1.0]), ONES[:1])
    assert shifted < same


@pytest.mark.parametrize("extreme", [1e4, -1e4, 3e38])
def test_extreme_scores_give_finite_gradients(extreme):
    chosen, rejected = (torch.tensor([value], requires_grad=True) for value in (extreme, -extreme))
    discriminator(chosen, rejected, ONES[:1]).sum().backward()
    assert torch.isfinite(chosen.grad).all() and torch.isfinite(rejected.grad).all()
