"""Card 5, the controller that `safe-rlhf` takes unless told otherwise: a weight of the cost that climbs by factors.

As the recipe has it: λ begins at 1 and climbs by its own gradient at a rate of 0.1, and a nat away from the reference
costs 0.1, all as in the authors' scripts for text. That charge is what lets it settle. Without it the policy becomes
sure of whatever λ makes it do, answers late to the next λ, and both swing: the mean cost after 500 updates then depends
on when one stops.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.tables import climb, table_models
from tests.experiments.world import Bandit
from training.recipes import recipe
from training.recipes.combine import First
from training.recipes.stages import LeaveOneOut, Reinforce

CARD = Card(
    5,
    "Safe RLHF, a weight that climbs by factors",
    "Within 500 updates the mean cost is at its limit and the reward at nearly the best within it; without a limit the "
    "cost ends far above, and without a price on leaving the reference it swings about it.",
    "arXiv:2310.12773",
)
SEEDS = (0, 1, 2)
PROMPTS, ANSWERS, LIMIT, UPDATES, LAST = 30, 30, 0.0, 500, 200

pytestmark = pytest.mark.experiment


@lru_cache
def settled(seed: int, *, without: str = "") -> tuple[float, float]:
    """Return the mean cost of the last 200 of 500 updates' answers, and their reward as a share of the best within."""
    bandit = Bandit.drawn(PROMPTS, ANSWERS, seed=seed, correlation=0.7)
    rewards, costs = torch.tensor(bandit.rewards), torch.tensor(bandit.costs)
    seen: list[tuple[float, float]] = []

    def watch(iteration, rollout) -> bool:
        values = rollout.scores.values.mean(0)
        seen.append((float(values[1]), float(values[0])))
        return False

    parts = recipe("safe-rlhf").parts_with(recipe("safe-rlhf").fill({"cost_limit": LIMIT}))
    climb(
        table_models(torch.zeros(PROMPTS, ANSWERS)),
        lambda asked, answers: {"reward": rewards[asked, answers[:, 0]], "cost": costs[asked, answers[:, 0]]},
        First(),
        *[parts[slot] for slot in ("constrain", "kl") if slot != without],
        LeaveOneOut(),
        Reinforce(),
        prompts=PROMPTS,
        n=8,
        iterations=UPDATES,
        rate=0.05,
        seed=seed,
        watch=watch,
    )
    cost, reward = np.mean(seen[-LAST:], axis=0)
    print(f"seed {seed} without {without or 'nothing'}: cost {cost:.3f}, {reward / bandit.best_within(LIMIT):.3f}")
    return float(cost), float(reward) / bandit.best_within(LIMIT)


@pytest.mark.parametrize(
    ("without", "said"),
    [("constrain", "no limit"), ("kl", "the price on leaving the reference")],
)
def test_the_cost_comes_to_its_limit_and_stays(report, without, said):
    report(
        CARD,
        f"mean cost of updates {UPDATES - LAST + 1} to {UPDATES} with a limit of {LIMIT:g}",
        [settled(seed)[0] for seed in SEEDS],
        seeds=SEEDS,
        switched_off=said,
        without=[settled(seed, without=without)[0] for seed in SEEDS],
        at_most=LIMIT + 0.05,
        every_seed=True,
    )


def test_the_reward_comes_to_the_best_within_the_limit(report):
    def within(without: str = "") -> list[float]:
        """Return the share of the best reward; none at all where the limit is not kept."""
        found = [settled(seed, without=without) for seed in SEEDS]
        return [share if cost <= LIMIT + 0.05 else 0.0 for cost, share in found]

    report(
        CARD,
        "reward of the same updates as a share of what the best policy within the limit gets (linear programme)",
        within(),
        seeds=SEEDS,
        switched_off="no limit",
        without=within("constrain"),
        at_least=0.9,
        every_seed=True,
    )
