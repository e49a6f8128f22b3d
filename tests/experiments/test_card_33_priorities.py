"""Card 33, HERON: an order of priorities labels pairs whatever the units are; weights do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.experiments.frame import Card
from training.core.losses.bradley_terry import bradley_terry
from training.core.priorities import compare, levels_of

CARD = Card(
    33,
    "hierarchical priorities",
    "Ranking what matters labels pairs for a reward model, and no unit of a lesser factor can outweigh a greater one.",
    "arXiv:2309.02632",
)
SEEDS = (0, 1, 2)
ITEMS, PAIRS, STEPS = 3000, 2000, 400
ORDER, MARGINS = "first, second, third", "0, 0.5, 0"
WEIGHTS = (1.0, 0.1, 0.01)
UNITS = (1.0, 10.0, 100.0)

pytestmark = pytest.mark.experiment


def items(seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return np.stack([draw.integers(0, 3, ITEMS), draw.normal(size=ITEMS), draw.uniform(0, 100, ITEMS)], axis=1)


def by_tree(values: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    names = ("first", "second", "third")
    levels = levels_of(ORDER, MARGINS, {name: values[:, i].tolist() for i, name in enumerate(names)})
    rows = [dict(zip(names, row, strict=True)) for row in values.tolist()]
    return np.array([compare(rows[a], rows[b], levels)[0] for a, b in pairs])


def by_weights(values: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    total = values @ np.array(WEIGHTS)
    return np.sign(total[pairs[:, 0]] - total[pairs[:, 1]])


def accuracy(values: np.ndarray, labels: np.ndarray, pairs: np.ndarray, truth: np.ndarray, seed: int) -> float:
    """Train a small reward model on the first half of the pairs; return how often it agrees with `truth` on the rest.

    It sees each factor in standard units, so that only the labels can depend on the units.
    """
    torch.manual_seed(seed)
    seen = torch.tensor((values - values.mean(0)) / values.std(0), dtype=torch.float32)
    model = torch.nn.Sequential(torch.nn.Linear(3, 64), torch.nn.Tanh(), torch.nn.Linear(64, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    half = len(pairs) // 2
    wins = torch.tensor(np.where(labels[:half, None] > 0, pairs[:half], pairs[:half, ::-1]).copy())[labels[:half] != 0]
    for _ in range(STEPS):
        some = wins[torch.randint(len(wins), (256,))]
        chosen, rejected = model(seen[some]).squeeze(-1).unbind(1)
        loss = bradley_terry(chosen, rejected, torch.ones(len(some)), strength_as="none", margin_scale=1.0)
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
    with torch.no_grad():
        scores = model(seen).squeeze(-1).numpy()
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
