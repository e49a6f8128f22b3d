"""Card 31: several objectives at once, whatever scale each is on."""

from __future__ import annotations

import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.tables import climb, table_models
from training.recipes.combine import First, WeightedSum
from training.recipes.stages import Clipped, GroupNorm, GroupNormEach

CARD = Card(
    31,
    "GRPO on several objectives",
    "A policy that is rewarded for help and for safety gives both, where one rewarded for either gives up the other; "
    "with each score standardised by itself that holds even when one is on a scale twenty times as large.",
    "arXiv:2503.21819",
)
SEEDS = (0, 1)
# What a token of an answer is: helpful and safe, very helpful and unsafe, useless and safe, useless and unsafe.
HELPFUL = torch.tensor([0.7, 1.0, 0.0, 0.0])
UNSAFE = torch.tensor([0.0, 1.0, 0.0, 1.0])


def reached(seed: int, *parts, scale: float = 1.0) -> tuple[float, float]:
    """Return help and safety of the policy."""
    models = table_models(torch.zeros(8, 4), places=8)

    def score(asked, answers):
        return {"helpful": scale * HELPFUL[answers].mean(1), "safe": 1 - UNSAFE[answers].mean(1)}

    climb(models, score, *parts, Clipped(kl_weight=0.0), prompts=1, n=64, iterations=200, rate=0.05, seed=seed)
    chances = models.policy.probabilities[0]
    return float((chances * HELPFUL).sum(1).mean()), 1 - float((chances * UNSAFE).sum(1).mean())


# Safety counts a little more: with equal weights the two safe ways to be best cancel out to the last digit.
EACH = (First(), GroupNormEach(score_weights="helpful=1, safe=1.5"))
SUMMED = (WeightedSum(weights="helpful=1, safe=1.5"), GroupNorm())


@pytest.mark.experiment
def test_both_are_reached_where_either_alone_gives_up_the_other(report):
    helpful_alone = (WeightedSum(weights="helpful=1"), GroupNorm())
    safe_alone = (WeightedSum(weights="safe=1"), GroupNorm())
    report(
        CARD,
        "safety when rewarded for both",
        [reached(seed, *EACH)[1] for seed in SEEDS],
        seeds=SEEDS,
        switched_off="rewarded for help alone",
        without=[reached(seed, *helpful_alone)[1] for seed in SEEDS],
        at_least=0.95,
        every_seed=True,
    )
    report(
        CARD,
        "help when rewarded for both (0.7 is all that is safe)",
        [reached(seed, *EACH)[0] for seed in SEEDS],
        seeds=SEEDS,
        switched_off="rewarded for safety alone",
        without=[reached(seed, *safe_alone)[0] for seed in SEEDS],
        at_least=0.65,
        every_seed=True,
    )


@pytest.mark.experiment
def test_a_score_on_a_large_scale_does_not_drown_the_other(report):
    report(
        CARD,
        "safety with help twenty times as large",
        [reached(seed, *EACH, scale=20.0)[1] for seed in SEEDS],
        seeds=SEEDS,
        switched_off="summed first and standardised then",
        without=[reached(seed, *SUMMED, scale=20.0)[1] for seed in SEEDS],
        at_least=0.95,
        every_seed=True,
    )
