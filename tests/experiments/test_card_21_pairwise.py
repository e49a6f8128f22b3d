"""Card 21: a judge that learns from both orders of a pair does not mind which answer stands first."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.world import learn, pairs_of, reward_on
from training.core.batch import Tokens
from training.core.heads import VerdictHead
from training.core.losses.verdict import verdict
from training.core.objectives import verdicts

CARD = Card(
    21,
    "Pairwise judge (Pairwise-RL)",
    "People who lean to the answer that stands first teach this to a judge that reads pairs as they were seen; one "
    "that reads each pair in both orders learns what they prefer and nothing of the order.",
    "arXiv:2504.04950",
)
SEEDS = (0, 1, 2, 3, 4)
WIDE, PAIRS, TEST, LEANING = 8, 2000, 1000, 1.0

pytestmark = pytest.mark.experiment


def judged(seed: int, *, both: bool) -> dict[str, float]:
    """Train a judge on the choices of people with such a leaning (in log-odds) and return how it does on unseen pairs.

    A pair in one order is a point: the first answer, the second, and a constant, as a model knows which it read first.
    """
    draw = np.random.default_rng(seed)
    torch.manual_seed(seed)
    truth = draw.normal(size=WIDE)
    first, second = draw.normal(size=(2, PAIRS + TEST, WIDE))
    seen_first = draw.random(PAIRS + TEST) < 1 / (1 + np.exp(-((first - second) @ truth) - LEANING))
    chosen, rejected = np.where(seen_first[:, None], first, second), np.where(seen_first[:, None], second, first)
    better = (first - second) @ truth > 0
    one = np.ones((PAIRS + TEST, 1))
    orders = [np.concatenate([chosen, rejected, one], 1), np.concatenate([rejected, chosen, one], 1)]
    model = reward_on(np.concatenate(orders), VerdictHead(2 * WIDE + 1))
    count = PAIRS + TEST

    def pairs(rows: np.ndarray):
        batch = pairs_of(rows, rows, count + rows, rows)
        told = {"both": np.full(len(rows), float(both)), "chosen_first": seen_first[rows].astype(float)}
        return replace(batch, extra={name: torch.tensor(values).float() for name, values in told.items()})

    learn(model, verdicts, partial(verdict, consistency=0.0), pairs, PAIRS, epochs=20, rate=1e-2, seed=seed)
    tokens: Tokens = pairs(np.arange(PAIRS, count)).tokens
    with torch.no_grad():
        p, q = model.outputs(tokens.input_ids, tokens.attention_mask)[:, 0].sigmoid().chunk(2)
    prefers_chosen = (p + 1 - q) / 2 > 0.5
    right = prefers_chosen.numpy() == (better == seen_first)[PAIRS:]
    return {"inconsistency": float((p + q - 1).abs().mean()), "accuracy": float(right.mean())}


def test_both_orders_leave_no_leaning_to_the_first(report):
    found = [judged(seed, both=True) for seed in SEEDS]
    seen = [judged(seed, both=False) for seed in SEEDS]
    print(found, seen)
    report(
        CARD,
        "by how much the order changes p(first is better), on unseen pairs",
        [one["inconsistency"] for one in found],
        seeds=SEEDS,
        switched_off="both orders: each pair as it was seen",
        without=[one["inconsistency"] for one in seen],
        at_most=0.03,
        every_seed=True,
    )
    assert min(one["inconsistency"] for one in seen) >= 0.1, "people's leaning was not learned either"
    assert min(one["accuracy"] for one in found) >= 0.9
