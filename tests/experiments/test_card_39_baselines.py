"""Card 39: a reward model for people beside one reward for all, and one to which everybody is a stranger."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.test_card_39_latent_users import (
    ASKED,
    KNOWN,
    NEW,
    NEWCOMERS,
    SEEDS,
    USERS,
    WIDE,
    World,
    accuracy,
    trained,
)
from tests.experiments.world import learn, pairs_of, reward_on
from training.core.batch import Pairs, People
from training.core.heads import ScalarHead
from training.core.losses.bradley_terry import bradley_terry
from training.core.losses.latent import divergence
from training.core.objectives import pair_scores

CARD = Card(
    39,
    "Reward model for people (VPL), beside one for all",
    "Two groups of people want the opposite. One reward for all is right about half of what newcomers choose, and so "
    "is a model for people with so high a price on knowing them that its posterior is a stranger's, which the nats "
    "show.",
    "arXiv:2408.10075",
)
RANKING = partial(bradley_terry, strength_as="none", margin_scale=1.0)

pytestmark = pytest.mark.experiment


def told(model, batch: People) -> float:
    """Return the nats that people's choices tell of them: the mean divergence of the posterior from a stranger's."""
    with torch.no_grad():
        (states,) = model.states(batch.tokens.input_ids, batch.tokens.attention_mask)
        chosen, rejected = states[: 2 * len(batch.known_of)].chunk(2)
        return float(divergence(*model.head.posterior(chosen, rejected, batch.known_of, NEW)).mean())


def one_reward(seed: int) -> float:
    """Return the accuracy for newcomers of one reward for all, by Bradley and Terry, on the same people's choices."""
    world, per = World(seed), KNOWN + ASKED
    model = reward_on(world.table, ScalarHead(WIDE))
    first = 2 * np.arange(USERS * per)

    def batch(rows: np.ndarray) -> Pairs:
        return pairs_of(first[rows], first[rows], first[rows] + 1, rows)

    score = partial(pair_scores, annotator_weights=False)
    learn(model, score, RANKING, batch, len(first), epochs=5, rate=3e-3, seed=seed)
    asked = 2 * (NEWCOMERS[:, None] * per + KNOWN + np.arange(ASKED)).ravel()
    with torch.no_grad():
        out = score(model, pairs_of(asked, asked, asked + 1, np.arange(len(asked))), RANKING)
    return float(out.metrics["accuracy"].mean())


def test_one_reward_for_all_is_right_about_half(report):
    alike = [one_reward(seed) for seed in SEEDS]
    report(
        CARD,
        "accuracy for newcomers after eight choices",
        [accuracy(model, world.batch(NEWCOMERS)) for world, model in map(trained, SEEDS)],
        seeds=SEEDS,
        switched_off="the reader of choices: Bradley and Terry on the same people's",
        without=alike,
        at_least=0.9,
        every_seed=True,
    )
    assert max(alike) <= 0.6, alike


def test_a_price_on_knowing_people_that_is_too_high_is_seen_in_the_nats(report):
    dear = [trained(seed, 1.0) for seed in SEEDS]
    right = [accuracy(model, world.batch(NEWCOMERS)) for world, model in dear]
    nats = [told(model, world.batch(NEWCOMERS)) for world, model in dear]
    report(
        CARD,
        "nats that eight choices of newcomers tell of them, weight of the divergence 0.001",
        [told(model, world.batch(NEWCOMERS)) for world, model in map(trained, SEEDS)],
        seeds=SEEDS,
        switched_off="a low weight: 1",
        without=nats,
        at_least=0.01,
        every_seed=True,
    )
    assert max(right) <= 0.6 and max(nats) < 0.01, (right, nats)
