"""Card 22: imitating one's own best answers, and what holds that back from ending in one answer for everything."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.tables import climb, drawn, table_models
from training.core.health import figures
from training.recipes.alarms import alarms
from training.recipes.combine import First
from training.recipes.stages import Best, Imitate

CARD = Card(
    22,
    "SuperHF",
    "A policy that imitates the best of sixteen of its own answers climbs the reward, and the weight of its prior "
    "trades reward for variety, step by step; where one answer is overpaid for most prompts, the alarm for answers "
    "that grow alike fires without the prior and not with it.",
    "arXiv:2310.16763",
)
SEEDS = (0, 1, 2)
PROMPTS, ANSWERS = 40, 50
OVERPAID = 27  # prompts for which the reward model likes the first answer most, whatever it is worth there
LIMIT = 0.3  # of the alarm, where the start has next to nothing in common


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


@lru_cache
def watched(seed: int, prior: float) -> tuple[float, bool]:
    """Return the likeness of answers to different prompts late in a run with an overpaid answer, and whether it alarms.

    The figures are those that a run writes, of all answers before any is left out, and so is what reads them.
    """
    draw = np.random.default_rng(seed)
    rewards = torch.tensor(draw.normal(size=(PROMPTS, ANSWERS)) + 1.5 * draw.normal(size=(PROMPTS, ANSWERS)))
    rewards[draw.permutation(PROMPTS)[:OVERPAID], 0] = float(rewards.max()) + 1
    models, lines = table_models(torch.zeros(PROMPTS, ANSWERS)), []
    generator = torch.Generator().manual_seed(seed + 1000)

    def watch(iteration, _kept):
        if iteration % 5 == 0:
            rollout = drawn(models, torch.arange(PROMPTS), 16, generator=generator)
            # An answer of a table is one token, and none of these is the one that ends it.
            lines.append(figures(replace(rollout, ended=torch.zeros_like(rollout.ended))))
        return False

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
        watch=watch,
    )
    late = [line["likeness"] for line in lines[-len(lines) // 5 :]]
    said = [str(note) for note in alarms(lines, {"prior_weight": prior})]
    return float(np.mean(late)), any("grow alike" in one for one in said)


@pytest.mark.experiment
def test_answers_that_grow_alike_alarm_without_the_prior(report):
    """Two thirds of the prompts have one best answer by the reward model: imitating the best gives it to them all.

    The prior leaves each answer at most 1 / 1.35 of its prompt, so that two answers are the same about half as often.
    """
    report(
        CARD,
        "likeness of answers to different prompts, late in the run, no prior (the alarm fires above 0.3)",
        [watched(seed, 0.0)[0] for seed in SEEDS],
        seeds=SEEDS,
        switched_off="prior weight 0.35, which does not alarm",
        without=[watched(seed, 0.35)[0] for seed in SEEDS],
        at_least=LIMIT,
        every_seed=True,
    )
    assert [watched(seed, 0.0)[1] for seed in SEEDS] == [True] * len(SEEDS)
    assert [watched(seed, 0.35)[1] for seed in SEEDS] == [False] * len(SEEDS)
