"""Card 15: choosing by the worst member of an ensemble does not over-optimise as a single model does."""

from __future__ import annotations

from functools import lru_cache, partial
from statistics import fmean

import numpy as np
import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.world import learn, pairs_of, reward_on
from training.core.best_of_n import best_of_n
from training.core.heads import EnsembleHead, Scores
from training.core.losses.bradley_terry import bradley_terry
from training.core.objectives import member_scores
from training.core.stages.combine import mean, mean_minus_var, minimum

CARD = Card(
    15,
    "Reward model ensembles",
    "With a quarter of the labels wrong and answers from heavier tails than the training data, the best of many by one "
    "model gets worse with their number, and by the worst member of an ensemble it is better than that.",
    "arXiv:2310.02743",
)
SEEDS = (0, 1, 2, 3, 4)
WIDE = 8
PAIRS, SAMPLES, PROMPTS, MEMBERS = 500, 1024, 20, 5
WAYS = {"mean": mean, "worst": minimum, "uncertainty": partial(mean_minus_var, variance_weight=0.5)}


def gold(points: np.ndarray) -> np.ndarray:
    """Good in a direction up to a point, and worse the further out: what nobody labelled is not good by default."""
    return points[..., 0] - 0.15 * (points**2).sum(-1)


@lru_cache
def curves(seed: int, members: int) -> dict[str, dict[int, float]]:
    """Return, for each way to choose, the gold of the best of n, after training the members on noisy pairs."""
    draw = np.random.default_rng(seed)
    torch.manual_seed(seed)
    points = draw.normal(size=(2 * PAIRS, WIDE))
    first, second = np.arange(PAIRS), np.arange(PAIRS) + PAIRS
    wins = draw.random(PAIRS) < 1 / (1 + np.exp(gold(points[second]) - gold(points[first])))
    wins ^= draw.random(PAIRS) < 0.25
    chosen, rejected = np.where(wins, first, second), np.where(wins, second, first)
    head = EnsembleHead(WIDE, [f"reward_{i}" for i in range(members)], width=64)
    model = reward_on(points, head)
    learn(
        model,
        partial(member_scores, resample=True),
        partial(bradley_terry, strength_as="none", margin_scale=1.0),
        lambda rows: pairs_of(rows, chosen[rows], rejected[rows], rows),
        PAIRS,
        epochs=60,
        rate=1e-2,
        seed=seed,
    )
    with torch.no_grad():
        head.calibrate(head(model.backbone.table))
        far = np.random.default_rng(100 + seed).standard_t(4, size=(PROMPTS, SAMPLES, WIDE))
        scores = [Scores(head(torch.tensor(some, dtype=torch.float32)), head.names) for some in far]

    def curve(way) -> dict[int, float]:
        chosen = [(way(s).tolist(), gold(p).tolist()) for s, p in zip(scores, far, strict=True)]
        return {n: fmean(best_of_n(proxy, true, n) for proxy, true in chosen) for n in (16, 256)}

    return {name: curve(way) for name, way in WAYS.items()}


def gains(way: str, members: int) -> list[float]:
    """Return the gold of the best of 256 above that by one model alone, a seed each."""
    return [curves(seed, members)[way][256] - curves(seed, 1)["mean"][256] for seed in SEEDS]


@pytest.mark.experiment
@pytest.mark.parametrize("way", ["worst", "uncertainty"])
def test_the_best_of_many_is_better_by_an_ensemble(report, way):
    named = {"worst": "worst member", "uncertainty": "mean less half the variance"}[way]
    report(
        CARD,
        f"gold of the best of 256 by the {named}, above that by one model",
        gains(way, MEMBERS),
        seeds=SEEDS,
        switched_off="an ensemble of one",
        without=gains(way, 1),
        at_least=0.2,
    )


@pytest.mark.experiment
def test_more_to_choose_from_hurts_one_model_and_not_the_worst_of_five(report):
    report(
        CARD,
        "gold of the best of 256 less that of the best of 16, by the worst member",
        [curves(seed, MEMBERS)["worst"][256] - curves(seed, MEMBERS)["worst"][16] for seed in SEEDS],
        seeds=SEEDS,
        switched_off="an ensemble of one",
        without=[curves(seed, 1)["worst"][256] - curves(seed, 1)["worst"][16] for seed in SEEDS],
        at_least=0.0,
    )
