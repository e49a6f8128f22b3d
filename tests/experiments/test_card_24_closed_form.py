"""Card 24: every way to climb comes to the same place where that place can be written down."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.tables import climb, table_models
from tests.experiments.world import Bandit
from training.recipes.combine import First
from training.recipes.stages import (
    GAE,
    BatchMean,
    Clipped,
    FixedKL,
    GroupNorm,
    LeaveOneOut,
    PPOUpdate,
    Reinforce,
)

CARD = Card(
    24,
    "One loop for all on-policy methods",
    "On a bandit with a price on leaving the reference, PPO, REINFORCE, RLOO and GRPO (with k2 in the loss) all come "
    "to the best policy there is, the reference times e to the reward over the price; GRPO with k3 comes to another.",
    "arXiv:2507.04136",
)
SEEDS = (0, 1, 2)
BETA = 0.5
ARMS = np.array([[0.0, 0.3, 0.6, 1.0]])
K3 = "GRPO with k3"
WAYS = {
    K3: ([GroupNorm(scale_by_group=False), Clipped(kl_weight=BETA)], 1),
    "PPO": ([FixedKL(kl=BETA), GAE(whiten=False), PPOUpdate()], 2),
    "REINFORCE": ([FixedKL(kl=BETA), BatchMean(), Reinforce()], 1),
    "RLOO": ([FixedKL(kl=BETA), LeaveOneOut(), Reinforce()], 1),
    "GRPO": ([GroupNorm(scale_by_group=False), Clipped(kl_weight=BETA, kl_estimate="k2")], 1),
}


def best(*, backwards: bool = False) -> np.ndarray:
    """Return the policy that maximises E[r] - β KL(π ‖ π_ref) or, `backwards`, E[r] - β KL(π_ref ‖ π).

    The latter is β π_ref / (λ - r) with λ such that it sums to 1.
    """
    if not backwards:
        return Bandit(ARMS, np.zeros_like(ARMS), np.full_like(ARMS, 0.25)).optimum(BETA)
    low, high = ARMS.max(), ARMS.max() + BETA
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (BETA * 0.25 / (middle - ARMS)).sum() > 1 else (low, middle)
    return BETA * 0.25 / (high - ARMS)


def distance(way: str, seed: int, *, priced: bool = True, backwards: bool = False) -> float:
    """Return the total variation between the policy found and the best one."""
    parts, passes = WAYS[way]
    if not priced:
        parts = [FixedKL(kl=0.0), LeaveOneOut(), Reinforce()]
    rewards = torch.tensor(ARMS)
    models = table_models(torch.zeros(1, 4), critic=way == "PPO")
    climb(
        models,
        lambda asked, answers: {"reward": rewards[asked, answers[:, 0]]},
        First(),
        *parts,
        prompts=1,
        n=256,
        iterations=250,
        rate=0.03,
        passes=passes,
        seed=seed,
    )
    found = models.policy.probabilities[0].numpy()
    return float(np.abs(found - best(backwards=backwards)).sum() / 2)


@pytest.mark.experiment
@pytest.mark.parametrize("way", [way for way in WAYS if way != K3])
def test_each_way_comes_to_the_best_policy(report, way):
    report(
        CARD,
        f"distance (total variation) of {way} from the best policy",
        [distance(way, seed) for seed in SEEDS],
        seeds=SEEDS,
        switched_off="no price on leaving the reference",
        without=[distance(way, seed, priced=False) for seed in SEEDS],
        at_most=0.03,
    )


@pytest.mark.experiment
def test_k3_in_the_loss_comes_to_the_policy_that_is_best_for_the_other_divergence(report):
    report(
        CARD,
        "distance of GRPO with k3 from the best policy by KL(reference ‖ policy)",
        [distance(K3, seed, backwards=True) for seed in SEEDS],
        seeds=SEEDS,
        switched_off="k2 in its place",
        without=[distance("GRPO", seed, backwards=True) for seed in SEEDS],
        at_most=0.03,
    )
