"""Card 39: a few choices of a person tell what that person wants, where one reward for all is right by half."""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np
import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.world import learn, reward_on, sequences
from training.core.batch import People
from training.core.heads import LatentHead, on_sphere
from training.core.losses.latent import divergence, latent
from training.core.objectives import people
from training.core.people import most_telling

CARD = Card(
    39,
    "Reward model for people (VPL)",
    "Two groups of people want the opposite. A model that reads eight choices of a person it has not met ranks for "
    "that person; one that cannot, or that reads somebody else's choices, is right about half of the pairs.",
    "arXiv:2408.10075",
)
SEEDS = (0, 1, 2)
USERS, NEW, WIDE, KNOWN, ASKED = 400, 200, 8, 8, 4

pytestmark = pytest.mark.experiment


class World:
    """People of two groups whose wants are opposite, with the choices they made: sharp ones, by Bradley and Terry."""

    def __init__(self, seed: int) -> None:
        draw = np.random.default_rng(seed)
        count, pairs = USERS + NEW, KNOWN + ASKED
        want = draw.normal(size=WIDE)
        self.sign = draw.choice([-1.0, 1.0], count)
        points = draw.normal(size=(count, pairs, 2, WIDE))
        gaps = (points[:, :, 0] - points[:, :, 1]) @ want * self.sign[:, None]
        first = draw.random((count, pairs)) < 1 / (1 + np.exp(-3 * gaps))
        first[:, KNOWN:] = np.where(np.arange(count)[:, None] < USERS, first[:, KNOWN:], gaps[:, KNOWN:] > 0)
        chosen = np.where(first[..., None], points[:, :, 0], points[:, :, 1])
        rejected = np.where(first[..., None], points[:, :, 1], points[:, :, 0])
        self.table = np.stack([chosen, rejected], 2).reshape(-1, WIDE)  # row: person, pair, side
        self.want, self.draw = want, draw

    def batch(self, rows: np.ndarray, known: int = KNOWN, *, context_of: np.ndarray | None = None) -> People:
        """Return people with `known` choices each, their own or those of `context_of`, and the pairs to be ranked."""
        context = rows if context_of is None else context_of
        per = 2 * (KNOWN + ASKED)
        seen = (context[:, None] * per + 2 * np.arange(known)).ravel()
        asked = (rows[:, None] * per + 2 * (KNOWN + np.arange(ASKED))).ravel()
        ids = np.concatenate([seen, seen + 1, asked, asked + 1])
        numbers = np.arange(len(rows))
        known_of, asked_of = (torch.tensor(np.repeat(numbers, many)) for many in (known, ASKED))
        return People(sequences(ids, ids), known_of, asked_of, torch.tensor(rows))


@lru_cache
def trained(seed: int, kl_weight: float = 0.001):
    world = World(seed)
    torch.manual_seed(seed)
    model = reward_on(world.table, LatentHead(WIDE, width=64, latent=4))
    # Anything from one to eight choices, as newcomers have.
    sizes = np.random.default_rng(seed)

    def batch(rows: np.ndarray) -> People:
        return world.batch(rows, int(sizes.integers(1, KNOWN + 1)))

    loss = partial(latent, kl_weight=kl_weight)
    learn(model, people, loss, batch, USERS, epochs=100, rate=3e-3, seed=seed, size=50)
    return world, model


def accuracy(model, batch: People) -> float:
    with torch.no_grad():
        return float(people(model, batch, partial(latent, kl_weight=0.0)).metrics["accuracy"].mean())


NEWCOMERS = np.arange(USERS, USERS + NEW)


def test_newcomers_are_ranked_for_by_their_own_choices(report):
    found, shuffled, curves, kls = [], [], [], []
    for seed in SEEDS:
        world, model = trained(seed)
        found.append(accuracy(model, world.batch(NEWCOMERS)))
        others = np.random.default_rng(seed).permutation(NEWCOMERS)
        shuffled.append(accuracy(model, world.batch(NEWCOMERS, context_of=others)))
        curves.append([accuracy(model, world.batch(NEWCOMERS, known)) for known in (1, 2, 4, 8)])
        batch = world.batch(NEWCOMERS)
        with torch.no_grad():
            (states,) = model.states(batch.tokens.input_ids, batch.tokens.attention_mask)
            chosen, rejected = states[: 2 * len(batch.known_of)].chunk(2)
            kls.append(float(divergence(*model.head.posterior(chosen, rejected, batch.known_of, NEW)).mean()))
    print(found, shuffled, curves, kls)
    report(
        CARD,
        "accuracy for newcomers after eight choices",
        found,
        seeds=SEEDS,
        switched_off="their own choices: somebody else's",
        without=shuffled,
        at_least=0.9,
        every_seed=True,
    )
    assert all(curve == sorted(curve) for curve in curves), "more choices have to tell more"
    assert max(shuffled) <= 0.6 and min(kls) > 0.01


def quiz(seed: int, questions: int, *, chosen: bool) -> float:
    """Return the accuracy for newcomers after so many questions out of twenty, the most telling ones or any."""
    world, model = trained(seed)
    draw = np.random.default_rng(100 + seed)
    noise = torch.randn(64, model.head.latent, generator=torch.Generator().manual_seed(seed))
    right = []
    with torch.no_grad():
        for person in NEWCOMERS:
            pool = torch.tensor(draw.normal(size=(20, 2, WIDE)), dtype=torch.float32)
            asked: list[int] = []
            context: list[torch.Tensor] = []
            mean = log_variance = torch.zeros(model.head.latent)
            for _ in range(questions):
                rest = [i for i in range(20) if i not in asked]
                pick = rest[0]
                if chosen:
                    people_like = on_sphere(mean + (log_variance / 2).exp() * noise)
                    one, other = (model.head.for_each(pool[rest, side], people_like) for side in (0, 1))
                    pick = rest[most_telling((one - other).sigmoid())]
                asked.append(pick)
                gap = float((pool[pick, 0] - pool[pick, 1]) @ torch.tensor(world.want).float()) * world.sign[person]
                first = draw.random() < 1 / (1 + np.exp(-3 * gap))
                context.append(pool[pick] if first else pool[pick].flip(0))
                told = torch.stack(context)
                of = torch.zeros(len(told), dtype=torch.long)
                mean, log_variance = (out[0] for out in model.head.posterior(told[:, 0], told[:, 1], of, 1))
            batch = world.batch(np.array([person]))
            (states,) = model.states(batch.tokens.input_ids, batch.tokens.attention_mask)
            better, worse = states[2 * KNOWN :].chunk(2)
            z = on_sphere(mean).expand(ASKED, -1)
            right.append(float((model.head.decode(better, z) > model.head.decode(worse, z)).float().mean()))
    return float(np.mean(right))


def test_two_telling_questions_are_worth_four_random_ones(report):
    telling = [quiz(seed, 2, chosen=True) for seed in SEEDS]
    four = [quiz(seed, 4, chosen=False) for seed in SEEDS]
    two = [quiz(seed, 2, chosen=False) for seed in SEEDS]
    print(telling, four, two)
    report(
        CARD,
        "accuracy after the two most telling questions of twenty, less that after four random ones",
        [one - other for one, other in zip(telling, four, strict=True)],
        seeds=SEEDS,
        switched_off="choosing the questions: two random ones",
        without=[one - other for one, other in zip(two, four, strict=True)],
        at_least=0.0,
    )
