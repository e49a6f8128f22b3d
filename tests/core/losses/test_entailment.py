"""Yes and no. By hand: -log σ(2) = 0.1269280110, -log σ(-1) = 1.3132616875."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from training.core.losses.entailment import entailment


def test_hand_computed_numbers():
    values = entailment(torch.tensor([2.0, 1.0]), torch.tensor([1.0, 0.0]), balance=1.0)
    torch.testing.assert_close(values, torch.tensor([0.1269280110, 1.3132616875]))
    values = entailment(torch.tensor([2.0, 1.0]), torch.tensor([1.0, 0.0]), balance=2.0)
    torch.testing.assert_close(values, torch.tensor([0.1269280110, 2.6265233750]))


def test_the_difference_of_two_log_probabilities_is_that_of_their_logits():
    """Over a whole vocabulary log p(Yes) - log p(No) is the difference of the two logits: all else cancels."""
    logits = torch.randn(5, 40, generator=torch.Generator().manual_seed(0)) * 4
    logps = logits.log_softmax(-1)
    z = logits[:, 7] - logits[:, 9]
    torch.testing.assert_close(logps[:, 7] - logps[:, 9], z, atol=1e-6, rtol=1e-6)
    two = cross_entropy(logits[:, [7, 9]], torch.zeros(5, dtype=torch.long), reduction="none")
    torch.testing.assert_close(entailment(z, torch.ones(5), balance=1.0), two, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("label", [0.0, 1.0])
@pytest.mark.parametrize("extreme", [1e4, -1e4, 3e38])
def test_extreme_logits_give_finite_gradients(extreme, label):
    logits = torch.tensor([extreme], requires_grad=True)
    entailment(logits, torch.tensor([label]), balance=1.5).sum().backward()
    assert torch.isfinite(logits.grad).all()
