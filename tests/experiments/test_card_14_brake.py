"""Card 14: a brake in the loss keeps a policy near its start that an aggressive optimiser would drive away."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.tables import climb, table_models
from training.recipes.combine import First
from training.recipes.stages import GAE, Braked, PredictiveKL, Preference

CARD = Card(
    14,
    "Entropy-aware predictive KL control (SAFE)",
    "With a noisy reward and steps that are too large a policy collapses on few answers; with the brake it stays near "
    "its start and goes on varying. It pays for that: the reward it climbs is lower.",
    "arXiv:2602.04651",
)
SEEDS = (0, 1, 2)
PROMPTS, ANSWERS, UPDATES = 40, 50, 600


@lru_cache
def driven(seed: int, *, penalty: float) -> tuple[float, float, float]:
    """Return how far the policy went and the entropy left, in nats, and the mean shaped reward of its last answers."""
    draw = np.random.default_rng(seed)
    worth = draw.normal(size=(PROMPTS, ANSWERS))
    reward = torch.tensor(worth + draw.normal(size=worth.shape))
    models = table_models(torch.zeros(PROMPTS, ANSWERS), critic=True)
    rewards: list[float] = []

    def watch(iteration, rollout) -> bool:
        rewards.append(float(rollout.reward.mean()))
        return False

    climb(
        models,
        lambda asked, answers: {"reward": reward[asked, answers[:, 0]]},
        First(),
        Preference(),
        PredictiveKL(penalty=penalty, preview=0.5 if penalty else 1e9),
        GAE(whiten=False),
        Braked(entropy_weight=0.01 if penalty else 0.0),
        prompts=PROMPTS,
        n=8,
        iterations=UPDATES,
        rate=0.1,
        seed=seed,
        passes=2,
        references=4,
        watch=watch,
    )
    policy = models.policy.probabilities[:, 0].double().clamp(min=1e-300)  # type: ignore[operator]
    entropy = -(policy * policy.log()).sum(1)
    return float((np.log(ANSWERS) - entropy).mean()), float(entropy.mean()), float(np.mean(rewards[-20:]))


def of(place: int, penalty: float) -> list[float]:
    return [driven(seed, penalty=penalty)[place] for seed in SEEDS]


@pytest.mark.experiment
def test_it_stays_near(report):
    report(
        CARD,
        "nats from the start after 600 steps that are too large",
        of(0, 0.1),
        seeds=SEEDS,
        switched_off="the brake, its preview and the entropy's price: PPO",
        without=of(0, 0.0),
        at_most=1.0,
        every_seed=True,
    )


@pytest.mark.experiment
def test_it_goes_on_varying_and_what_that_costs_is_told(report):
    braked, free = of(2, 0.1), of(2, 0.0)
    print("shaped reward with and without the brake:", braked, free)
    report(
        CARD,
        f"nats of entropy left, at a cost in shaped reward of {sum(free) / len(free) - sum(braked) / len(braked):.2f}",
        of(1, 0.1),
        seeds=SEEDS,
        switched_off="the brake, its preview and the entropy's price: PPO",
        without=of(1, 0.0),
        at_least=2.0,
        every_seed=True,
    )
