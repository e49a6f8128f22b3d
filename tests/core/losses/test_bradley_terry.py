"""Pairwise ranking. By hand: -log σ(1) = 0.3132616875, -log σ(0) = ln 2 = 0.6931471806, -log σ(-2) = 2.1269280110."""

from __future__ import annotations

import math

import pytest
import torch

from training.core.losses.bradley_terry import bradley_terry

CHOSEN = torch.tensor([2.0, 0.5, -1.0])
REJECTED = torch.tensor([1.0, 0.5, 1.0])
STRENGTH = torch.tensor([1.0, 1 / 3, 2 / 3])


def test_hand_computed_numbers():
    """Gaps 1, 0 and -2; as margin at scale 3 the gaps become -2, -1 and -4; as weight the losses are scaled."""
    none = bradley_terry(CHOSEN, REJECTED, STRENGTH, strength_as="none", margin_scale=1.0)
    torch.testing.assert_close(none, torch.tensor([0.3132616875, 0.6931471806, 2.1269280110]))
    margin = bradley_terry(CHOSEN, REJECTED, STRENGTH, strength_as="margin", margin_scale=3.0)
    torch.testing.assert_close(margin, torch.tensor([2.1269280110, 1.3132616875, 4.0181499279]))
    weight = bradley_terry(CHOSEN, REJECTED, STRENGTH, strength_as="weight", margin_scale=1.0)
    torch.testing.assert_close(weight, torch.tensor([0.3132616875, 0.2310490602, 1.4179520073]))


def test_gradient_pulls_the_two_apart_by_the_share_of_doubt():
    """d/dr_w = -(1 - σ(gap)) = -σ(-1) = -0.2689414214 at gap 1, and the opposite for the rejected one."""
    chosen, rejected = CHOSEN.clone().requires_grad_(), REJECTED.clone().requires_grad_()
    bradley_terry(chosen, rejected, STRENGTH, strength_as="none", margin_scale=1.0).sum().backward()
    assert chosen.grad[0].item() == pytest.approx(-0.2689414214, abs=1e-6)
    torch.testing.assert_close(chosen.grad, -rejected.grad)


def test_only_the_difference_of_scores_counts():
    shifted = bradley_terry(CHOSEN + 100, REJECTED + 100, STRENGTH, strength_as="margin", margin_scale=1.0)
    torch.testing.assert_close(
        shifted, bradley_terry(CHOSEN, REJECTED, STRENGTH, strength_as="margin", margin_scale=1.0)
    )


@pytest.mark.parametrize("strength_as", ["none", "margin", "weight"])
@pytest.mark.parametrize("gap", [1e4, -1e4, 3e38])
def test_extreme_scores_give_finite_gradients(strength_as, gap):
    chosen = torch.tensor([gap], requires_grad=True)
    loss = bradley_terry(chosen, torch.zeros(1), torch.ones(1), strength_as=strength_as, margin_scale=1.0)
    loss.sum().backward()
    assert math.isfinite(loss.item()) and math.isfinite(chosen.grad.item())


def test_half_precision_scores_are_compared_in_float32():
    """1 + 2⁻¹⁰ and 1 are different in bfloat16 only after both are widened: as bfloat16 numbers they are equal."""
    out = bradley_terry(CHOSEN.bfloat16(), REJECTED.bfloat16(), STRENGTH, strength_as="none", margin_scale=1.0)
    assert out.dtype == torch.float32
