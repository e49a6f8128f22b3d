"""Card 6: asking about what an ensemble disagrees on needs fewer labels; people who judge badly are found out."""

from __future__ import annotations

import random
from functools import lru_cache

import numpy as np
import pytest
import torch

from annotation.quality.strengths import USUAL, Game, Ranking, aware, bradley_terry, logistic
from tests.experiments.frame import Card
from training.core.objectives import times_drawn
from training.core.selection import select

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


@lru_cache
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
        asked += worth_most(dict(zip(rest, gaps[rest] @ members.T, strict=True)), rule, seed=len(asked))
    return len(asked)


def worth_most(believed: dict[int, np.ndarray], rule: str, *, seed: int) -> list[int]:
    """Return the pairs of a pool that a loop asks people about, by what the members think the one is better by."""
    rows = []
    for number, gap in believed.items():
        members = (gap.tolist(), [0.0] * len(gap))
        told = [{"text": text, "scores": {}, "members": said} for text, said in zip("ab", members, strict=True)]
        rows.append({"id": number, "prompt": [], "completions": told})
    chosen = select(rows, selection=rule, audit_share=0.0, asked_share=BATCH / len(rows), seed=seed)
    return [row["id"] for row in chosen if row["asked"]]


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


BETAS = {"sure": 1.5, "as sure": 1.5, "usual": 1.0, "by chance": 0.0, "upside down": -1.5}
POLICIES = {f"policy {k:02}": 0.4 * (k - 5.5) for k in range(12)}


def right(ranking: Ranking) -> float:
    """Return the share of all pairs of policies that the ranking puts in their true order."""
    names = list(POLICIES)
    both = [(one, other) for place, one in enumerate(names) for other in names[place + 1 :]]
    told = ranking.strengths
    return sum((told[a].value > told[b].value) == (POLICIES[a] > POLICIES[b]) for a, b in both) / len(both)


def judged(seed: int) -> tuple[float, float, float]:
    """Return how right the order is with each person's rationality and without, and the inverted person's β at most."""
    draw = random.Random(seed)
    games = []
    for number in range(600):
        one, other = draw.sample(list(POLICIES), 2)
        person = draw.choice(list(BETAS))
        won = draw.random() < logistic(BETAS[person] * (POLICIES[one] - POLICIES[other]))
        games.append(Game(one, other, float(won), person, number))
    found = aware(games)
    return right(found), right(bradley_terry(games, prior=USUAL)), found.rationality["upside down"].high


@pytest.mark.experiment
def test_who_judges_upside_down_is_found_and_the_order_is_better_for_it(report):
    """Card 6, (c): 600 judgements by five people with β 1.5, 1.5, 1, 0 and -1.5; a gain of 0.08 in accuracy."""
    found = [judged(seed) for seed in SEEDS]
    print(found)
    assert all(high < 0 for *_, high in found), "who has the scale upside down was not found"
    assert np.mean([one - plain for one, plain, _ in found]) >= 0.08
    report(
        CARD,
        "share of pairs of policies put in their true order, with each person's rationality",
        [one for one, *_ in found],
        seeds=SEEDS,
        switched_off="rationality: all judgements alike",
        without=[plain for _, plain, _ in found],
        at_least=0.95,
        every_seed=True,
    )
