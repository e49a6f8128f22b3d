"""Card 22: imitating one's own best answers, and what holds that back from ending in one answer for everything."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.tables import climb, table_models
from training.recipes.combine import First
from training.recipes.stages import Best, Imitate

CARD = Card(
    22,
    "SuperHF",
    "A policy that imitates the best of sixteen of its own answers climbs the reward, and the weight of its prior "
    "trades reward for variety, step by step.",
    "arXiv:2310.16763",
)
SEEDS = (0, 1, 2)
PROMPTS, ANSWERS = 40, 50


@lru_cache
def reached(seed: int, prior: float) -> tuple[float, float]:
    """Return the reward by the noisy reward model and the entropy (nats) of the policy after 200 updates."""
    draw = np.random.default_rng(seed)
    rewards = torch.tensor(draw.normal(size=(PROMPTS, ANSWERS)) + 1.5 * draw.normal(size=(PROMPTS, ANSWERS)))
    models = table_models(torch.zeros(PROMPTS, ANSWERS))
    climb(
        models,
        lambda asked, answers: {"reward": rewards[asked, answers[:, 0]]},
        First(),
        Best(),
        Imitate(prior_weight=prior),
        prompts=PROMPTS,
        n=16,
        iterations=200,
        rate=0.05,
        seed=seed,
    )
    chances = models.policy.probabilities[:, 0]
    entropy = -(chances * chances.log()).sum(1).mean()
    return float((chances * rewards).sum(1).mean()), float(entropy)


@pytest.mark.experiment
def test_imitating_the_best_climbs_the_reward(report):
    report(
        CARD,
        "reward after 200 updates, prior weight 0.35 (the start's is 0)",
        [reached(seed, 0.35)[0] for seed in SEEDS],
        seeds=SEEDS,
        switched_off="a prior that outweighs everything",
        without=[reached(seed, 100.0)[0] for seed in SEEDS],
        at_least=2.0,
        every_seed=True,
    )


@pytest.mark.experiment
def test_the_prior_keeps_variety(report):
    report(
        CARD,
        "entropy after 200 updates, prior weight 0.35 (nats)",
        [reached(seed, 0.35)[1] for seed in SEEDS],
        seeds=SEEDS,
        switched_off="no prior",
        without=[reached(seed, 0.0)[1] for seed in SEEDS],
        at_least=1.0,
        every_seed=True,
    )
    for seed in SEEDS:
        rewards, entropies = zip(*(reached(seed, prior) for prior in (0.0, 0.35, 1.0, 3.0)), strict=True)
        assert sorted(rewards, reverse=True) == list(rewards) and sorted(entropies) == list(entropies)
