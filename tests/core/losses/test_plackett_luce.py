"""Rankings with ties, by hand: worths 4, 2 and 1, and ties that two equals have with chance 1/3, so that δ = 1.

Of all three 4, 2 and 1 are chosen alone, √8, √4 and √2 the pairs, ∛8 all: 7 + √8 + 2 + √2 + 2 = 15.2426406871.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import product

import pytest
import torch

from training.core.losses.bradley_terry import bradley_terry
from training.core.losses.plackett_luce import plackett_luce

THIRD = partial(plackett_luce, tie_rate=1 / 3)
WORTH = torch.tensor([[4.0, 2.0, 1.0]]).log()
ALL, EVERY = 11 + math.sqrt(8) + math.sqrt(2), torch.ones(1, 3, dtype=torch.bool)


@pytest.mark.parametrize(
    ("ranks", "chance"),
    [
        ([1, 2, 3], 4 / ALL * 2 / (3 + math.sqrt(2))),
        ([1, 1, 3], math.sqrt(8) / ALL),
        ([1, 2, 2], 4 / ALL * math.sqrt(2) / (3 + math.sqrt(2))),
        ([1, 1, 1], 2 / ALL),
        ([5, 2, 2], 2**0.5 / ALL),  # how ranks are numbered says nothing
    ],
)
def test_hand_computed_numbers(ranks, chance):
    assert THIRD(WORTH, torch.tensor([ranks]), EVERY).item() == pytest.approx(-math.log(chance), abs=1e-6)


@pytest.mark.parametrize("tie_rate", [0.0, 0.2, 0.6])
def test_the_chances_of_all_rankings_sum_to_one(tie_rate):
    """Of three answers there are thirteen with ties, each counted once by its lowest numbers."""
    orders = [o for o in product((1, 2, 3), repeat=3) if set(o) == set(range(1, max(o) + 1))]
    assert len(orders) == 13
    if tie_rate == 0:
        orders = [o for o in orders if len(set(o)) == 3]
    many = (len(orders), 3)
    loss = plackett_luce(WORTH.expand(many), torch.tensor(orders), EVERY.expand(many), tie_rate=tie_rate)
    assert (-loss).exp().sum().item() == pytest.approx(1.0, abs=1e-6)


def test_two_answers_are_bradley_and_terry_s_and_davidson_s():
    scores = torch.randn(32, 2, generator=torch.Generator().manual_seed(0)) * 5
    both, order = torch.ones(32, 2, dtype=torch.bool), torch.tensor([[1, 2]]).expand(32, 2)
    plain = bradley_terry(*scores.unbind(1), torch.ones(32), strength_as="none", margin_scale=1.0)
    torch.testing.assert_close(plackett_luce(scores, order, both, tie_rate=0.0), plain)
    p, q = scores.exp().double().unbind(1)
    tie = (p * q).sqrt() / (p + q + (p * q).sqrt())
    torch.testing.assert_close(THIRD(scores, torch.ones_like(order), both).double(), -tie.log(), atol=1e-5, rtol=1e-5)


def test_without_ties_in_the_model_equals_are_each_better_than_what_comes_after():
    """4 and 2 against 1, and nothing between them: 4/5 · 2/3."""
    loss = plackett_luce(WORTH, torch.tensor([[1, 1, 2]]), EVERY, tie_rate=0.0)
    assert loss.item() == pytest.approx(-math.log(8 / 15), abs=1e-6)
    equal = torch.ones(1, 3, dtype=torch.long)
    assert plackett_luce(WORTH, equal, EVERY, tie_rate=0.0).item() == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("tie_rate", [0.0, 0.2])
def test_what_is_not_there_cannot_matter(tie_rate):
    """A shorter ranking beside a longer one, with anything in its empty places."""
    known = torch.tensor([[True, True, False]])
    scores = torch.tensor([[1.0, -0.5, 1e30]], requires_grad=True)
    loss = plackett_luce(scores, torch.tensor([[2, 1, 1]]), known, tie_rate=tie_rate)
    loss.sum().backward()
    alone = plackett_luce(torch.tensor([[1.0, -0.5]]), torch.tensor([[2, 1]]), known[:, :2], tie_rate=tie_rate)
    torch.testing.assert_close(loss, alone)
    assert torch.isfinite(scores.grad).all() and scores.grad[0, 2] == 0


@pytest.mark.parametrize("tie_rate", [0.0, 0.2])
@pytest.mark.parametrize("ranks", [[1, 2, 3], [3, 2, 1], [1, 1, 1]])
def test_extreme_scores_give_finite_gradients(tie_rate, ranks):
    scores = torch.tensor([[1e6, 0.0, -1e6]], requires_grad=True)
    loss = plackett_luce(scores, torch.tensor([ranks]), EVERY, tie_rate=tie_rate)
    loss.sum().backward()
    assert torch.isfinite(loss).all() and torch.isfinite(scores.grad).all()
