"""Card 6: people who judge badly are found out, and the order of what they judge is better for it."""

from __future__ import annotations

import random

import numpy as np
import pytest

from annotation.quality.strengths import USUAL, Game, Ranking, aware, bradley_terry, logistic
from tests.experiments.frame import Card

CARD = Card(
    6,
    "People's rationality (survey of RLHF)",
    "Of five people who judge, one guesses and one has the scale upside down. With the rationality of each learned "
    "beside the order, the latter is found out and the order is right more often.",
    "arXiv:2312.14925",
)
SEEDS = (0, 1, 2, 3, 4)
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
