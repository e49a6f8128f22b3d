"""Card 13: learning from a log half of which was written by somebody who meant harm, with nothing sampled anew."""

from __future__ import annotations

from dataclasses import dataclass
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
    "all of it weighed by reward, and bad answers added to the log hardly change that. What they change comes mostly "
    "from a start and a value that are learned from the log as well. The value is the mean reward of other answers to "
    "the prompt; the recipe's own value is tested in tests/core/test_leftover.py.",
    "arXiv:2305.14718",
)
SEEDS = (0, 1, 2)
PROMPTS, ANSWERS, LOGGED, UPDATES, BATCH = 60, 30, 6000, 1200, 256


@dataclass(frozen=True)
class Log:
    """What was asked, what was answered, and what that was worth; and what is known of whoever wrote it.

    `start` (prompts, answers) are the logits of a policy that writes as the log does, and `value` (prompts,) is the
    mean reward of as many further answers, which nothing else is learned from.
    """

    rewards: np.ndarray
    asked: np.ndarray
    answers: np.ndarray
    given: np.ndarray
    start: torch.Tensor
    value: np.ndarray


@lru_cache
def logged(seed: int, bad: float) -> Log:
    """Return a log of which a share `bad` are answers among the worst third of their prompt, and the others any."""
    draw = np.random.default_rng(seed)
    rewards = draw.random((PROMPTS, ANSWERS))
    count = int(LOGGED / 2 / (1 - bad))
    asked = draw.integers(PROMPTS, size=2 * count)
    worst = np.argsort(rewards, axis=1)[:, : ANSWERS // 3]
    harmful = draw.random(2 * count) < bad
    answers = np.where(
        harmful, worst[asked, draw.integers(ANSWERS // 3, size=2 * count)], draw.integers(ANSWERS, size=2 * count)
    )
    given = rewards[asked, answers]
    seen = np.zeros((PROMPTS, ANSWERS)) + 0.5
    np.add.at(seen, (asked, answers), 1)
    sums, counts = np.zeros(PROMPTS), np.zeros(PROMPTS)
    np.add.at(sums, asked[count:], given[count:])
    np.add.at(counts, asked[count:], 1)
    return Log(
        rewards,
        asked[:count],
        answers[:count],
        given[:count],
        torch.tensor(np.log(seen)).float(),
        sums / np.maximum(counts, 1),
    )


@lru_cache
def learned(seed: int, way: str, *, bad: float = 0.5, start_bad: float | None = None) -> float:
    """Return the mean reward of a policy that learned from the log in this way.

    At its start it writes as the log does, of which the value comes too, or as a log does of which `start_bad` are bad.
    """
    log, known = logged(seed, bad), logged(seed, bad if start_bad is None else start_bad)
    asked, answers, given = log.asked, log.answers, log.given
    start, draw = known.start, np.random.default_rng(1000 + seed)
    worth = {"nll": np.ones(len(given)), "reward": given}.get(way, given - known.value[asked])
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
    return float((policy.probabilities[:, 0].double().numpy() * log.rewards).sum(1).mean())


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
@pytest.mark.parametrize(
    ("start_bad", "at_most", "told"),
    [(None, 0.02, "where start and value learn from them too"), (0.5, 0.01, "where start and value were there before")],
)
def test_more_bad_answers_hardly_change_it(report, start_bad, at_most, told):
    """The card's target is 0.02; with start and value of the log as it was, that is what the worse log itself costs."""

    def lost(way: str) -> list[float]:
        after = of(way, bad=2 / 3) if start_bad is None else of(way, bad=2 / 3, start_bad=start_bad)
        return [a - b for a, b in zip(of(way), after, strict=True)]

    report(
        CARD,
        f"mean reward lost when there are twice as many bad answers in the log, {told}",
        lost("a-lol"),
        seeds=SEEDS,
        switched_off="advantage: answers imitated by their reward",
        without=lost("reward"),
        at_most=at_most,
    )
