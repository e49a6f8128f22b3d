"""Card 6: asking about what an ensemble disagrees on needs fewer labels; people who judge badly are found out."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from tests.experiments.frame import Card
from training.core.objectives import times_drawn
from training.core.selection import acquire

CARD = Card(
    6,
    "Active query selection (survey of RLHF)",
    "With a quarter of the labels flipped, asking about the pairs on which the members of an ensemble disagree (BALD) "
    "needs at most 0.8 of the labels that random pairs need for the same accuracy; asking about the closest pairs does "
    "not, because it keeps buying coin tosses.",
    "arXiv:2312.14925",
)
SEEDS = (0, 1, 2, 3, 4)
WIDE, POOL, MEMBERS, BATCH, MOST, GOAL = 20, 1500, 8, 20, 800, 0.85


def fitted(gaps: np.ndarray, wins: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the linear Bradley-Terry model of highest posterior, by Newton's method; prior standard deviation 1."""
    w = np.zeros(WIDE)
    for _ in range(8):
        p = 1 / (1 + np.exp(-np.clip(gaps @ w, -30, 30)))
        slope = gaps.T @ (weights * (wins - p)) - w
        curve = (gaps * (weights * p * (1 - p))[:, None]).T @ gaps + np.eye(WIDE)
        w = w + np.linalg.solve(curve, slope)
    return w


def labels_needed(rule: str, seed: int) -> int:
    """Return how many labels it takes to rank 85 in 100 unseen pairs right; pairs differ in how clear they are."""
    draw = np.random.default_rng(seed)
    truth = draw.normal(size=WIDE)
    gaps = draw.normal(size=(POOL, WIDE)) * np.exp(draw.normal(size=(POOL, 1)))
    fresh = draw.normal(size=(2000, WIDE))
    wins = draw.random(POOL) < 1 / (1 + np.exp(-np.clip(gaps @ truth, -30, 30)))
    wins ^= draw.random(POOL) < 0.25
    times = times_drawn(
        torch.arange(1, POOL + 1), torch.randint(2**31, (MEMBERS,), generator=torch.Generator().manual_seed(seed))
    )
    times = times.numpy()
    rng = random.Random(seed)
    asked = rng.sample(range(POOL), BATCH)
    while len(asked) < MOST:
        known = np.array(asked)
        right = np.mean((fresh @ fitted(gaps[known], wins[known], np.ones(len(known))) > 0) == (fresh @ truth > 0))
        if right >= GOAL:
            break
        rest = sorted(set(range(POOL)) - set(asked))
        if rule == "uniform":
            asked += rng.sample(rest, BATCH)
            continue
        members = np.stack([fitted(gaps[known], wins[known], times[known, m]) for m in range(MEMBERS)])
        believed = 1 / (1 + np.exp(-np.clip(gaps[rest] @ members.T, -30, 30)))
        asked += [rest[i] for i in acquire(believed.tolist(), BATCH, rule=rule, rng=rng)]
    return len(asked)


@pytest.mark.experiment
@pytest.mark.parametrize("rule", ["bald", "disagreement"])
def test_fewer_labels_for_the_same_accuracy(report, rule):
    random_needs = [labels_needed("uniform", seed) for seed in SEEDS]
    needs = [labels_needed(rule, seed) for seed in SEEDS]
    closest = [labels_needed("closeness", seed) for seed in SEEDS]
    print(rule, random_needs, needs, closest)
    report(
        CARD,
        f"labels needed by {rule} as a share of what random pairs need (at most {MOST} were asked for)",
        [one / other for one, other in zip(needs, random_needs, strict=True)],
        seeds=SEEDS,
        switched_off="disagreement: the pairs closest to equal",
        without=[one / other for one, other in zip(closest, random_needs, strict=True)],
        at_most=0.8,
    )
