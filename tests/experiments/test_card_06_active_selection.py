"""Card 6: asking about what an ensemble disagrees on needs fewer labels than random pairs or the closest ones.

Where a single learning curve crosses an accuracy is mostly chance: on one seed, six curves of random pairs crossed at
549 to beyond 1000 labels, and six by BALD at 219 to beyond 800. So each seed, a truth to be learned, has several loops
on pools and answers of their own, and what crosses is their mean. The accuracy is computed and not sampled.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from functools import lru_cache
from statistics import fmean

import numpy as np
import pytest
import torch

from tests.experiments.frame import Card
from training.core.objectives import times_drawn
from training.core.selection import select

CARD = Card(
    6,
    "Active query selection (survey of RLHF)",
    "With a quarter of the labels flipped, asking about the pairs on which the members of an ensemble disagree (BALD) "
    "needs at most 0.8 of the labels that random pairs need for the same accuracy, and fewer than asking about the "
    "closest pairs, which keeps buying coin tosses.",
    "arXiv:2312.14925",
)
SEEDS = (0, 1, 2, 3, 4)
WIDE, POOL, MEMBERS, BATCH, GOAL = 20, 1500, 8, 20, 0.85
ROUND = 500  # of the pool's pairs that a round draws, of which the rule then asks about a batch
MOST = 1400  # labels after which a rule is given up
TIMES, OF_RANDOM = 8, 16  # loops a seed; by random pairs, which take little time and many labels, more of them
VOCABULARY = np.array([f"word{number}" for number in range(400)])


def fitted(gaps: np.ndarray, wins: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the linear Bradley-Terry models (K, D) of highest posterior for weights (K, N) of the pairs, by Newton."""
    found = np.zeros((len(weights), WIDE))
    outer = (gaps[:, :, None] * gaps[:, None, :]).reshape(len(gaps), -1)
    for _ in range(8):
        p = 1 / (1 + np.exp(-np.clip(found @ gaps.T, -30, 30)))
        slope = (weights * (wins - p)) @ gaps - found
        curve = ((weights * p * (1 - p)) @ outer).reshape(-1, WIDE, WIDE) + np.eye(WIDE)
        found += np.linalg.solve(curve, slope[..., None])[..., 0]
    return found


class Loop:
    """A pool of pairs that differ in how clear they are, and what was asked of them; a quarter of answers is wrong."""

    def __init__(self, seed: int, time: int, *, copies: int) -> None:
        draw = np.random.default_rng([seed, time])
        self.truth = np.random.default_rng(seed).normal(size=WIDE)
        gaps = draw.normal(size=(POOL // copies, WIDE)) * np.exp(draw.normal(size=(POOL // copies, 1)))
        self.gaps = np.repeat(gaps, copies, 0)
        questions = [draw.choice(VOCABULARY, 10) for _ in gaps]
        self.prompts = [[*question[1:], draw.choice(VOCABULARY)] for question in questions for _ in range(copies)]
        if copies > 1:
            self.gaps *= 1 + 0.1 * draw.normal(size=self.gaps.shape)
        self.wins = draw.random(POOL) < 1 / (1 + np.exp(-np.clip(self.gaps @ self.truth, -30, 30)))
        self.wins ^= draw.random(POOL) < 0.25
        member_seeds = torch.tensor(draw.integers(2**31, size=MEMBERS))
        self.times = times_drawn(torch.arange(1, POOL + 1), member_seeds).numpy().T.astype(float)
        self.draw = random.Random(f"{seed} {time}")
        self.asked = self.draw.sample(range(POOL), BATCH)

    def step(self, rule: str, *, words: bool) -> float:
        """Return the share of all unseen pairs ranked right by what was asked so far, and ask about more.

        Of pairs in all directions alike it is 1 less the angle from the truth over π, without anything drawn.
        """
        known = np.array(self.asked)
        weights = np.vstack([np.ones(len(known)), self.times[:, known]])
        own, *members = fitted(self.gaps[known], self.wins[known], weights if rule != "uniform" else weights[:1])
        right = 1 - math.acos(own @ self.truth / np.linalg.norm(own) / np.linalg.norm(self.truth)) / math.pi
        rest = sorted(set(range(POOL)) - set(self.asked))
        if rule == "uniform":
            self.asked += self.draw.sample(rest, BATCH)
        else:
            read = self.draw.sample(rest, min(ROUND, len(rest)))
            self.asked += self.worth_most(read, self.gaps[read] @ np.array(members).T, rule, words=words)
        return right

    def worth_most(self, read: list[int], believed: np.ndarray, rule: str, *, words: bool) -> list[int]:
        """Return the pairs that a loop asks people about, by what the members think the one is better by."""
        rows = []
        for number, gap in zip(read, believed.tolist(), strict=True):
            told = [
                {"text": text, "scores": {}, "members": m} for text, m in zip("ab", (gap, [0.0] * MEMBERS), strict=True)
            ]
            prompt = [{"role": "user", "content": " ".join(self.prompts[number])}] if words else []
            rows.append({"id": number, "prompt": prompt, "completions": told})
        share, seed = BATCH / len(rows), len(self.asked)
        chosen = select(rows, selection=rule, audit_share=0.0, asked_share=share, seed=seed)
        return [row["id"] for row in chosen if row["asked"]]


def learning(rule: str, seed: int, *, copies: int = 1, words: bool = True, first: int = 0) -> Iterator[float]:
    """Return how much is ranked right after 20, 40, 60, … labels, in the mean of several loops from number `first`."""
    times = OF_RANDOM if rule == "uniform" else TIMES
    loops = [Loop(seed, first + time, copies=copies) for time in range(times)]
    while True:
        yield fmean(loop.step(rule, words=words) for loop in loops)


@lru_cache
def labels_needed(rule: str, seed: int, *, first: int = 0) -> float:
    """Return at how many labels the mean over loops crosses 0.85, in proportion between batches; at most `MOST`."""
    before = 0.0
    for batches, right in enumerate(learning(rule, seed, first=first), start=1):
        if right >= GOAL:
            return BATCH * (batches - (right - GOAL) / (right - before))
        if batches * BATCH >= MOST:
            return float(MOST)
        before = right
    raise AssertionError


def shares(rule: str, others: str, *, first: int = 0) -> list[float]:
    """Return the labels that a rule needs as a share of what another one needs, a seed each."""
    return [labels_needed(rule, seed, first=first) / labels_needed(others, seed) for seed in SEEDS]


@pytest.mark.experiment
@pytest.mark.parametrize("rule", ["bald", "disagreement"])
def test_fewer_labels_for_the_same_accuracy(report, rule):
    print(rule, [labels_needed(rule, seed) for seed in SEEDS], [labels_needed("uniform", seed) for seed in SEEDS])
    report(
        CARD,
        f"labels needed by {rule} as a share of what random pairs need, by mean curves of {TIMES} loops",
        shares(rule, "uniform"),
        seeds=SEEDS,
        switched_off="selection: other random pairs",
        without=shares("uniform", "uniform", first=OF_RANDOM),
        at_most=0.8,
        every_seed=True,
    )


@pytest.mark.experiment
@pytest.mark.parametrize("rule", ["bald", "disagreement"])
def test_fewer_labels_than_the_closest_pairs(report, rule):
    """In the mean of the seeds: on a single one, chance in so few loops may turn the order of two rules round."""
    print([labels_needed("closeness", seed) for seed in SEEDS])
    report(
        CARD,
        f"labels needed by {rule} as a share of what the pairs closest to equal need",
        shares(rule, "closeness"),
        seeds=SEEDS,
        switched_off="selection: random pairs",
        without=shares("uniform", "closeness"),
        at_most=1.0,
    )
