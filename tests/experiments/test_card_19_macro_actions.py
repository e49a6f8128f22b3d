"""Card 19: the reward at the end reaches the beginning sooner by macro actions."""

from __future__ import annotations

from functools import lru_cache

import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.tables import climb, table_models
from training.recipes.combine import First
from training.recipes.stages import GAE, FixedKL, Ngram, PPOUpdate

CARD = Card(
    19,
    "Macro actions",
    "With one reward at the end of forty tokens, PPO on actions of five tokens needs fewer updates than PPO on tokens "
    "to get as far.",
    "arXiv:2410.02743",
)
SEEDS = (0, 1, 2)
LENGTH, TOKENS, AIM, LATEST = 40, 4, 0.8, 400


@lru_cache
def updates(seed: int, tokens_each: int) -> int:
    """Return after how many updates the mean share of right tokens in the policy's answers is 0.8."""
    right = torch.arange(LENGTH) % TOKENS
    needed = [LATEST]

    def watch(iteration, rollout) -> bool:
        share = float((rollout.tokens.input_ids[:, 1:] == right).float().mean())
        if share >= AIM:
            needed[0] = iteration
        return share >= AIM

    climb(
        table_models(torch.zeros(LENGTH, TOKENS), places=LENGTH, critic=True),
        lambda asked, answers: {"reward": (answers == right).float().mean(1)},
        First(),
        FixedKL(kl=0.0),
        Ngram(tokens_each=tokens_each),
        GAE(),
        PPOUpdate(),
        prompts=1,
        n=64,
        iterations=LATEST,
        rate=20.0,
        plain=True,
        seed=seed,
        watch=watch,
    )
    return needed[0]


@pytest.mark.experiment
def test_fewer_updates_by_macro_actions(report):
    report(
        CARD,
        "updates that PPO on tokens needs for each that PPO on five tokens needs",
        [updates(seed, 1) / updates(seed, 5) for seed in SEEDS],
        seeds=SEEDS,
        switched_off="macro actions of one token",
        without=1.0,
        at_least=1.4,
        every_seed=True,
    )
