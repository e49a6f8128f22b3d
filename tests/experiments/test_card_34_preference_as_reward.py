"""Card 34: a bounded, centred reward is not climbed beyond what the reward model knows."""

from __future__ import annotations

from functools import lru_cache

import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.tables import climb, table_models
from training.recipes.combine import First
from training.recipes.stages import BatchMean, FixedKL, Preference, Reinforce

CARD = Card(
    34,
    "Preference as reward",
    "Where a reward model goes on praising what has long become worse, a policy that climbs the chance of being "
    "preferred to the reference's answers stops in time, and one that climbs the raw reward does not.",
    "arXiv:2502.18770",
)
SEEDS = (0, 1, 2)
TOKENS, LENGTH, TURNING = 10, 16, 8


def proxy(answers: torch.Tensor) -> torch.Tensor:
    """The reward model likes token 0, the more the better."""
    return 0.8 * (answers == 0).sum(1)


def gold(answers: torch.Tensor) -> torch.Tensor:
    """People like it up to eight times, and each more as little as they liked the first ones."""
    count = (answers == 0).sum(1).float()
    return 0.8 * count.clamp(max=TURNING) - 0.8 * (count - TURNING).clamp(min=0)


@lru_cache
def course(seed: int, *, shaped: bool) -> list[float]:
    """Return the mean gold of each iteration's answers."""
    models = table_models(torch.zeros(LENGTH, TOKENS), places=LENGTH)
    seen: list[float] = []

    def watch(iteration, rollout) -> bool:
        seen.append(float(gold(rollout.tokens.input_ids[:, 1:]).mean()))
        return False

    shape = [Preference()] if shaped else []
    climb(
        models,
        lambda asked, answers: {"reward": proxy(answers)},
        First(),
        *shape,
        FixedKL(kl=0.04),
        BatchMean(),
        Reinforce(),
        prompts=1,
        n=64,
        iterations=400,
        rate=0.05,
        seed=seed,
        references=10,
        watch=watch,
    )
    return seen


def last(seed: int, *, shaped: bool) -> float:
    tail = course(seed, shaped=shaped)[-20:]
    return sum(tail) / len(tail)


@pytest.mark.experiment
def test_a_bounded_reward_keeps_what_people_like(report):
    report(
        CARD,
        "gold of the policy after 400 updates",
        [last(seed, shaped=True) for seed in SEEDS],
        seeds=SEEDS,
        switched_off="the raw reward",
        without=[last(seed, shaped=False) for seed in SEEDS],
        at_least=3.0,
        every_seed=True,
    )


@pytest.mark.experiment
def test_it_does_not_fall_from_its_best(report):
    def falls(shaped: bool) -> list[float]:
        return [max(course(seed, shaped=shaped)) - last(seed, shaped=shaped) for seed in SEEDS]

    report(
        CARD,
        "gold lost between the best iteration and the last",
        falls(True),
        seeds=SEEDS,
        switched_off="the raw reward",
        without=falls(False),
        at_most=1.0,
        every_seed=True,
    )
