"""Card 13: learning from a log half of which was written by somebody who meant harm, with nothing sampled anew."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.tables import TablePolicy
from training.core.batch import Outcomes, Tokens
from training.core.losses.a_lol import a_lol
from training.core.objectives import leftover
from training.core.policy import logps

CARD = Card(
    13,
    "Advantage-leftover lunch (A-LoL)",
    "Of a log in which half of the answers are bad ones a policy learns more by what was better than expected than by "
    "all of it weighed by reward, and bad answers added to the log hardly change that. The value is the mean reward of "
    "other answers to the prompt; the recipe's own value is tested in tests/core/test_leftover.py.",
    "arXiv:2305.14718",
)
SEEDS = (0, 1, 2)
PROMPTS, ANSWERS, LOGGED, UPDATES, BATCH = 60, 30, 6000, 400, 256


@lru_cache
def learned(seed: int, way: str, *, bad: float = 0.5) -> float:
    """Return the mean reward of a policy that learned from the log in this way; at the start it writes as the log does.

    A share `bad` of the log are answers among the worst third of their prompt, the others any. Twice the log is drawn,
    and the value of a prompt comes from the half that is not learned from.
    """
    draw = np.random.default_rng(seed)
    rewards = draw.random((PROMPTS, ANSWERS))
    good = LOGGED // 2
    count = int(good / (1 - bad))
    asked = draw.integers(PROMPTS, size=2 * count)
    worst = np.argsort(rewards, axis=1)[:, : ANSWERS // 3]
    harmful = draw.random(2 * count) < bad
    answers = np.where(
        harmful, worst[asked, draw.integers(ANSWERS // 3, size=2 * count)], draw.integers(ANSWERS, size=2 * count)
    )
    given = rewards[asked, answers]
    seen = np.zeros((PROMPTS, ANSWERS)) + 0.5
    np.add.at(seen, (asked, answers), 1)
    start = torch.tensor(np.log(seen)).float()
    sums, counts = np.zeros(PROMPTS), np.zeros(PROMPTS)
    np.add.at(sums, asked[count:], given[count:])
    np.add.at(counts, asked[count:], 1)
    value = sums / np.maximum(counts, 1)
    asked, answers, given = asked[:count], answers[:count], given[:count]
    worth = {"nll": np.ones(count), "reward": given}.get(way, given - value[asked])
    kept = np.flatnonzero(worth > 0)
    chance = worth[kept] / worth[kept].sum() if way in ("a-lol", "free") else None
    policy = TablePolicy(start)
    reference = TablePolicy(start).requires_grad_(False)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.02)
    importance = "sequence" if way == "a-lol" else "none"
    for _ in range(UPDATES):
        rows = draw.choice(kept, size=BATCH, p=chance)
        ids = torch.tensor(np.stack([asked[rows], answers[rows]], 1))
        tokens = Tokens(ids, torch.ones_like(ids), torch.tensor([False, True]).expand(BATCH, 2))
        with torch.no_grad():
            before = logps(reference, tokens)
        batch = Outcomes(tokens, torch.tensor(worth[rows]).float(), before)
        out = leftover(policy, batch, lambda *given: a_lol(*given, importance=importance, ratio_clip=0.9))
        optimizer.zero_grad()
        out.loss.mean().backward()
        optimizer.step()
    return float((policy.probabilities[:, 0].double().numpy() * rewards).sum(1).mean())


def of(way: str, **more: float) -> list[float]:
    return [learned(seed, way, **more) for seed in SEEDS]


@pytest.mark.experiment
@pytest.mark.parametrize("way", ["nll", "reward"])
def test_what_was_better_than_expected_teaches_more_than_all_of_it(report, way):
    told = {"nll": "advantage: every answer imitated alike", "reward": "advantage: answers imitated by their reward"}
    report(
        CARD,
        f"mean reward learned from a log half of which is bad, against {way}",
        of("a-lol"),
        seeds=SEEDS,
        switched_off=told[way],
        without=of(way),
        at_least=0.75,
        every_seed=True,
    )


@pytest.mark.experiment
def test_more_bad_answers_hardly_change_it(report):
    def lost(way: str) -> list[float]:
        return [a - b for a, b in zip(of(way), of(way, bad=2 / 3), strict=True)]

    report(
        CARD,
        "mean reward lost when there are twice as many bad answers in the log",
        lost("a-lol"),
        seeds=SEEDS,
        switched_off="advantage: answers imitated by their reward",
        without=lost("reward"),
        at_most=0.02,
        every_seed=True,
    )
