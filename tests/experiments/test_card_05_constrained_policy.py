"""Card 5, the policy's side: as much reward as a limit on the cost allows, and no more."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.tables import climb, table_models
from tests.experiments.world import Bandit
from training.recipes.combine import First
from training.recipes.stages import LeaveOneOut, PIDLagrangian, Reinforce

CARD = Card(
    5,
    "Safe RLHF",
    "Where reward and cost rise together, a policy that is held to a limit on its mean cost stays below it and gets "
    "nearly all the reward that any policy within the limit can get; one that is not, ends far above.",
    "arXiv:2310.12773",
)
SEEDS = (0, 1, 2)
PROMPTS, ANSWERS, LIMIT = 30, 30, -0.5


@lru_cache
def reached(seed: int, *, held: bool) -> tuple[float, float]:
    """Return the mean cost of the last 100 updates' answers, and their mean reward as a share of the best within."""
    bandit = Bandit.drawn(PROMPTS, ANSWERS, seed=seed, correlation=0.7)
    rewards, costs = torch.tensor(bandit.rewards), torch.tensor(bandit.costs)
    seen: list[tuple[float, float]] = []

    def watch(iteration, rollout) -> bool:
        values = rollout.scores.values.mean(0)
        seen.append((float(values[1]), float(values[0])))
        return False

    def score(asked, answers):
        return {"reward": rewards[asked, answers[:, 0]], "cost": costs[asked, answers[:, 0]]}

    limit = [PIDLagrangian(cost_limit=LIMIT, cost_window=PROMPTS * 8)] if held else []
    climb(
        table_models(torch.zeros(PROMPTS, ANSWERS)),
        score,
        First(),
        *limit,
        LeaveOneOut(),
        Reinforce(),
        prompts=PROMPTS,
        n=8,
        iterations=500,
        rate=0.05,
        seed=seed,
        watch=watch,
    )
    cost, reward = np.mean(seen[-100:], axis=0)
    return float(cost), float(reward) / bandit.best_within(LIMIT)


@pytest.mark.experiment
def test_the_cost_stays_within_its_limit(report):
    report(
        CARD,
        f"mean cost with a limit of {LIMIT}",
        [reached(seed, held=True)[0] for seed in SEEDS],
        seeds=SEEDS,
        switched_off="no limit",
        without=[reached(seed, held=False)[0] for seed in SEEDS],
        at_most=LIMIT + 0.05,
        every_seed=True,
    )


@pytest.mark.experiment
def test_the_reward_is_nearly_the_best_within_the_limit(report):
    def within(held: bool) -> list[float]:
        """Return the share of the best reward; none at all where the limit is not kept."""
        found = [reached(seed, held=held) for seed in SEEDS]
        return [share if cost <= LIMIT + 0.05 else 0.0 for cost, share in found]

    report(
        CARD,
        "reward as a share of what the best policy within the limit gets (linear programme)",
        within(True),
        seeds=SEEDS,
        switched_off="no limit",
        without=within(False),
        at_least=0.85,
        every_seed=True,
    )
