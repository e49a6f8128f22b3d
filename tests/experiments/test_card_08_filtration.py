"""Card 8: learning only from answers whose reward can be trusted."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.tables import climb, table_models
from training.recipes.combine import First
from training.recipes.stages import BestAndWorst, LeaveOneOut, Reinforce

CARD = Card(
    8,
    "Policy filtration (PF-PPO)",
    "Where a reward model is right about very good and very bad answers and guesses in between, the best and the worst "
    "of eight answers have rewards that tell their worth, and in as many updates a policy learns more from these two "
    "than from all eight. Where the reward is equally noisy everywhere it does not.",
    "arXiv:2409.06957",
)
SEEDS = (0, 1, 2)
PROMPTS, ANSWERS, DRAWN, UPDATES = 60, 64, 8, 60


@lru_cache
def learned(seed: int, *, filtered: bool, guessing: bool = True) -> tuple[float, float]:
    """Return the worth of the policy's answers, and R² of reward and worth of what it first learned from.

    Worth is even between -1 and 1. A reward that is `guessing` is the worth beyond ±0.8 and anything in between else;
    one that is not is the worth and normal noise of 0.5. The best and one of the others at random, the paper's other
    filter, has an R² of 0.31 to 0.41 here and learns no faster than all eight.
    """
    draw = np.random.default_rng(seed)
    worth = draw.uniform(-1, 1, (PROMPTS, ANSWERS))
    guessed = np.where(np.abs(worth) > 0.8, worth, draw.uniform(-0.8, 0.8, worth.shape))
    rewards = torch.tensor(guessed if guessing else worth + 0.5 * draw.normal(size=worth.shape))
    models = table_models(torch.zeros(PROMPTS, ANSWERS))
    seen: list[np.ndarray] = []

    def watch(iteration, rollout) -> bool:
        if iteration < 5:
            asked, answers = rollout.tokens.input_ids.unbind(1)
            seen.append(np.stack([rollout.reward.numpy(), worth[asked, answers]]))
        return False

    climb(
        models,
        lambda asked, answers: {"reward": rewards[asked, answers[:, 0]]},
        First(),
        *([BestAndWorst()] if filtered else []),
        LeaveOneOut(),
        Reinforce(),
        prompts=PROMPTS,
        n=DRAWN,
        iterations=UPDATES,
        rate=0.1,
        seed=seed,
        watch=watch,
    )
    policy = models.policy.probabilities[:, 0].double().numpy()  # type: ignore[operator]
    squared = float(np.corrcoef(np.concatenate(seen, 1))[0, 1] ** 2)
    return float((policy * worth).sum(1).mean()), squared


def gained(seed: int, *, guessing: bool) -> float:
    """Return by how much more the answers are worth after learning from two of eight than from all."""
    both = (learned(seed, filtered=filtered, guessing=guessing)[0] for filtered in (True, False))
    return next(both) - next(both)


@pytest.mark.experiment
def test_what_is_kept_has_rewards_that_tell(report):
    report(
        CARD,
        "R² of reward and worth among the answers learned from, best and worst of 8",
        [learned(seed, filtered=True)[1] for seed in SEEDS],
        seeds=SEEDS,
        switched_off="the filter: all 8",
        without=[learned(seed, filtered=False)[1] for seed in SEEDS],
        at_least=0.5,
        every_seed=True,
    )


@pytest.mark.experiment
def test_less_teaches_more_where_the_reward_guesses_in_between(report):
    report(
        CARD,
        "worth after 60 updates by the best and the worst of 8 above that by all 8",
        [gained(seed, guessing=True) for seed in SEEDS],
        seeds=SEEDS,
        switched_off="the guessing in between: noise that is the same everywhere",
        without=[gained(seed, guessing=False) for seed in SEEDS],
        at_least=0.05,
        every_seed=True,
    )
