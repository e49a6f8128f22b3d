"""Card 12: what keeps a policy near its start whatever the reward is measured in."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.tables import climb, table_models
from tests.experiments.world import Bandit
from training.recipes.combine import First
from training.recipes.stages import AdaptiveKL, FixedKL, LeaveOneOut, Normalised, Reinforce

CARD = Card(
    12,
    "PPO-max, its stabilisers",
    "With rewards brought to one scale a policy goes as far from its start whether they are given in ones or in "
    "hundreds, and with a price that follows a target it stays about it.",
    "arXiv:2307.04964",
)
SEEDS = (0, 1, 2)
PROMPTS, ANSWERS, TARGET = 30, 16, 0.5


@lru_cache
def gone(seed: int, *parts: Any, unit: float = 1.0) -> float:
    """Return how far the policy went, KL(policy ‖ start) in nats, with rewards in this unit."""
    rewards = unit * torch.tensor(Bandit.drawn(PROMPTS, ANSWERS, seed=seed).rewards)
    models = table_models(torch.zeros(PROMPTS, ANSWERS))
    climb(
        models,
        lambda asked, answers: {"reward": rewards[asked, answers[:, 0]]},
        First(),
        *parts,
        LeaveOneOut(),
        Reinforce(),
        prompts=PROMPTS,
        n=8,
        iterations=200,
        rate=0.05,
        seed=seed,
    )
    policy = models.policy.probabilities[:, 0].double()  # type: ignore[operator]
    return float((policy * (policy * ANSWERS).log()).sum(1).mean())


def carried_off(seed: int, *parts: Any) -> float:
    """Return by how many nats more a policy goes when its rewards are given in hundreds."""
    return abs(gone(seed, *parts, unit=100.0) - gone(seed, *parts))


@pytest.mark.experiment
def test_the_unit_of_the_reward_changes_nothing(report):
    price = FixedKL(kl=1.0)
    report(
        CARD,
        "nats from the start by which rewards in hundreds make a difference, price 1 a nat",
        [carried_off(seed, Normalised(), price) for seed in SEEDS],
        seeds=SEEDS,
        switched_off="rewards on one scale: as they are",
        without=[carried_off(seed, price) for seed in SEEDS],
        at_most=0.05,
        every_seed=True,
    )


@pytest.mark.experiment
def test_the_price_follows_its_target(report):
    report(
        CARD,
        f"nats between the distance from the start and its target, {TARGET}",
        [abs(gone(seed, Normalised(), AdaptiveKL(kl_target=TARGET, kl_horizon=1000)) - TARGET) for seed in SEEDS],
        seeds=SEEDS,
        switched_off="following: a price that stays where it began",
        without=[abs(gone(seed, Normalised(), FixedKL()) - TARGET) for seed in SEEDS],
        at_most=TARGET / 2,  # a controller that overshoots: one of the three seeds ends 0.17 from its target
        every_seed=True,
    )
