"""Card 39 inside reinforcement learning: who is known by eight choices gets a policy that gives what this person wants.

Two groups want the opposite. For a newcomer of each a policy learns from the reward model's scores for that person, of
whom it has read eight choices and nothing else; the other policy learns from what the same model says of somebody
unknown, which is the mean over everybody it can imagine.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.tables import climb, table_models
from tests.experiments.test_card_39_latent_users import KNOWN, NEWCOMERS, WIDE, trained
from training.core.heads import on_sphere
from training.recipes import recipe

CARD = Card(
    39,
    "Policies for people (VPL)",
    "A policy that is rewarded as one person would reward it gives that person what they want, whichever of two "
    "opposite groups they are of; one that is rewarded by what people want on average fails one of them.",
    "arXiv:2408.10075",
)
SEEDS = (0, 1, 2)
PROMPTS, ANSWERS, UPDATES, PEOPLE = 40, 20, 150, 3  # newcomers of each group

pytestmark = pytest.mark.experiment


@lru_cache
def served(seed: int, *, known: bool) -> float:
    """Return what the policies give to the group that is served worse, of the best that it could be given."""
    world, model = trained(seed)
    points = np.random.default_rng(700 + seed).normal(size=(PROMPTS, ANSWERS, WIDE))
    states = torch.tensor(points, dtype=torch.float32).view(-1, WIDE)
    shares = []
    for sign in (-1.0, 1.0):
        of_group = [person for person in NEWCOMERS if world.sign[person] == sign][:PEOPLE]
        gold = points @ world.want * sign
        for person in of_group:
            batch = world.batch(np.array([person]))
            with torch.no_grad():
                (read,) = model.states(batch.tokens.input_ids, batch.tokens.attention_mask)
                chosen, rejected = read[: 2 * KNOWN].chunk(2)
                mean, _ = model.head.posterior(chosen, rejected, batch.known_of, 1)
                model.head.person = on_sphere(mean[0]) if known else None
                scores = model.head(states).view(PROMPTS, ANSWERS)
                model.head.person = None
            shares.append(earned(scores, gold, seed))
    halves = np.array(shares).reshape(2, PEOPLE).mean(1)
    print(seed, known, halves, flush=True)
    return float(halves.min())


def earned(scores: torch.Tensor, gold: np.ndarray, seed: int) -> float:
    """Return the gold of a policy that climbed the scores, as a share of the best answers'."""
    models = table_models(torch.zeros(PROMPTS, ANSWERS))
    parts = recipe("rloo").parts_with(recipe("rloo").fill({}))
    parts.pop("trainer")
    climb(
        models,
        lambda asked, answers: {"reward": scores[asked, answers[:, 0]]},
        *parts.values(),
        prompts=PROMPTS,
        n=8,
        iterations=UPDATES,
        rate=0.05,
        seed=seed,
    )
    policy = models.policy.probabilities[:, 0].double().numpy()
    return float((policy * gold).sum(1).mean() / gold.max(1).mean())


def test_each_of_two_groups_gets_what_it_wants(report):
    report(
        CARD,
        "gold of newcomers' policies as a share of the best, the group that is served worse",
        [served(seed, known=True) for seed in SEEDS],
        seeds=SEEDS,
        switched_off="knowing the person: the mean over everybody",
        without=[served(seed, known=False) for seed in SEEDS],
        at_least=0.8,
        every_seed=True,
    )
