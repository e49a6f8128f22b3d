"""Card 33, HERON: an order of priorities labels pairs whatever the units are; weights do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.tables import climb, table_models
from training.core.losses.bradley_terry import bradley_terry
from training.core.priorities import compare, levels_of
from training.core.rollout import Rollout
from training.recipes import recipe

CARD = Card(
    33,
    "hierarchical priorities",
    "Ranking what matters labels pairs for a reward model, and no unit of a lesser factor can outweigh a greater one. "
    "A policy that learns by it raises the greater factor first.",
    "arXiv:2309.02632",
)
SEEDS = (0, 1, 2)
ITEMS, PAIRS, STEPS = 3000, 2000, 400
ORDER, MARGINS = "first, second, third", "0, 0.5, 0"
TURNED, TURNED_MARGINS = "second, first, third", "0.5, 0, 0"
PROMPTS, UPDATES = 50, 200
WEIGHTS = (1.0, 0.1, 0.01)
UNITS = (1.0, 10.0, 100.0)

pytestmark = pytest.mark.experiment


def items(seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return np.stack([draw.integers(0, 3, ITEMS), draw.normal(size=ITEMS), draw.uniform(0, 100, ITEMS)], axis=1)


def by_tree(values: np.ndarray, pairs: np.ndarray, *, order: str = ORDER, margins: str = MARGINS) -> np.ndarray:
    names = ("first", "second", "third")
    levels = levels_of(order, margins, {name: values[:, i].tolist() for i, name in enumerate(names)})
    rows = [dict(zip(names, row, strict=True)) for row in values.tolist()]
    return np.array([compare(rows[a], rows[b], levels)[0] for a, b in pairs])


def by_weights(values: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    total = values @ np.array(WEIGHTS)
    return np.sign(total[pairs[:, 0]] - total[pairs[:, 1]])


def scored(values: np.ndarray, labels: np.ndarray, pairs: np.ndarray, seed: int) -> np.ndarray:
    """Train a small reward model on the labelled pairs; return its score of each item.

    It sees each factor in standard units, so that only the labels can depend on the units.
    """
    torch.manual_seed(seed)
    seen = torch.tensor((values - values.mean(0)) / values.std(0), dtype=torch.float32)
    model = torch.nn.Sequential(torch.nn.Linear(3, 64), torch.nn.Tanh(), torch.nn.Linear(64, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    wins = torch.tensor(np.where(labels[:, None] > 0, pairs, pairs[:, ::-1]).copy())[labels != 0]
    for _ in range(STEPS):
        some = wins[torch.randint(len(wins), (256,))]
        chosen, rejected = model(seen[some]).squeeze(-1).unbind(1)
        loss = bradley_terry(chosen, rejected, torch.ones(len(some)), strength_as="none", margin_scale=1.0)
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
    with torch.no_grad():
        return model(seen).squeeze(-1).numpy()


def accuracy(values: np.ndarray, labels: np.ndarray, pairs: np.ndarray, truth: np.ndarray, seed: int) -> float:
    """Return how often a reward model of the first half of the pairs agrees with `truth` on the rest."""
    half = len(pairs) // 2
    scores = scored(values, labels[:half], pairs[:half], seed)
    gap = scores[pairs[half:, 0]] - scores[pairs[half:, 1]]
    return float(np.mean(np.sign(gap) == truth[half:]))


def test_labels_do_not_depend_on_units(report):
    tree, weights = [], []
    for seed in SEEDS:
        values = items(seed)
        pairs = np.random.default_rng(100 + seed).integers(0, ITEMS, (PAIRS, 2))
        truth = by_tree(values, pairs)
        other = values * np.array(UNITS)
        tree.append([accuracy(v, by_tree(v, pairs), pairs, truth, seed) for v in (values, other)])
        weights.append([accuracy(v, by_weights(v, pairs), pairs, truth, seed) for v in (values, other)])
    report(
        CARD,
        "accuracy of the reward model against the order, units changed",
        [each[1] for each in tree],
        seeds=SEEDS,
        switched_off="fixed weights 1, 0.1, 0.01",
        without=[each[1] for each in weights],
        at_least=0.95,
    )
    report(
        CARD,
        "what a change of units costs in accuracy",
        [abs(a - b) for a, b in tree],
        seeds=SEEDS,
        switched_off="fixed weights 1, 0.1, 0.01",
        without=[abs(a - b) for a, b in weights],
        at_most=0.005,
    )


def halfway(values: np.ndarray, labels: np.ndarray, pairs: np.ndarray, seed: int) -> tuple[int, int]:
    """Return after how many updates a policy that learns by such a reward has half of the first factor, and the second.

    The items are answers to fifty prompts, sixty each. The way goes from a policy that says each as often to one that
    says the best of them by the order; what is not reached counts as the last update.
    """
    table = torch.tensor(scored(values, labels, pairs, seed)).view(PROMPTS, -1)
    first, second = (values[:, i].reshape(PROMPTS, -1) for i in (0, 1))
    best = np.lexsort((second, first), axis=1)[:, -1]
    models = table_models(torch.zeros(table.shape))
    course: list[list[float]] = []

    def watch(iteration: int, rollout: Rollout) -> bool:
        policy = models.policy.probabilities[:, 0].double().numpy()  # type: ignore[operator]
        course.append([float((policy * factor).sum(1).mean()) for factor in (first, second)])
        return False

    parts = recipe("rloo").parts_with({})
    parts.pop("trainer")
    climb(
        models,
        lambda asked, answers: {"reward": table[asked, answers[:, 0]]},
        *parts.values(),
        prompts=PROMPTS,
        n=8,
        iterations=UPDATES,
        rate=0.05,
        seed=seed,
        watch=watch,
    )
    ways = np.array(course)
    ends = [float(np.take_along_axis(factor, best[:, None], 1).mean()) for factor in (first, second)]
    found = []
    for way, end in zip(ways.T, ends, strict=True):
        there = np.flatnonzero(way - way[0] >= (end - way[0]) / 2)
        found.append(int(there[0]) if len(there) else UPDATES)
    return found[0], found[1]


def test_a_policy_raises_what_comes_first_before_what_comes_second(report):
    by_order, turned = [], []
    for seed in SEEDS:
        values = items(seed)
        pairs = np.random.default_rng(200 + seed).integers(0, ITEMS, (PAIRS, 2))
        by_order.append(halfway(values, by_tree(values, pairs), pairs, seed))
        turned.append(halfway(values, by_tree(values, pairs, order=TURNED, margins=TURNED_MARGINS), pairs, seed))
    report(
        CARD,
        "updates of a policy until it has half of the second factor, for each until it has half of the first",
        [second / first for first, second in by_order],
        seeds=SEEDS,
        switched_off="the order: second before first",
        without=[second / first for first, second in turned],
        at_least=1.5,
        every_seed=True,
    )
