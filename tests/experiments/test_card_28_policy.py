"""Card 28 inside reinforcement learning: a policy climbs the mixture of a gate, and length does not run away with it.

The attributes were rated by people who give longer answers better points in each of them. What the gate mixes is freed
of that on a reference set, and the policy's own answers are none of those.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.tables import climb, table_models
from tests.experiments.test_card_28_gated_objectives import SMALL, freed, taught, world
from tests.experiments.world import reward_on, sequences
from training.core.heads import MIXED
from training.recipes.assembled import assembled

CARD = Card(
    28,
    "ArmoRM: a policy that is rewarded by a gate over attributes",
    "RLOO by a gate's mixture finds what counts for each kind of prompt, and its answers become no longer; with length "
    "left in the attributes, what the policy gains is length.",
    "arXiv:2406.12845",
)
SEEDS = (0, 1, 2)
PROMPTS, ANSWERS, UPDATES = 60, 30, 200

pytestmark = pytest.mark.experiment


@lru_cache
def reached(seed: int, *, debiased: bool) -> tuple[float, float]:
    """Return the gold of a policy as a share of the best there is, and the length of its answers in deviations."""
    made = world(seed)
    head = freed(seed, made["answers"][:SMALL], nuisance="verbosity" if debiased else "")
    model = taught(seed, head)
    draw = np.random.default_rng(300 + seed)
    count, wide = PROMPTS * ANSWERS, made["answers"].shape[1]
    points, asked = draw.normal(size=(count, wide)), made["prompts"][-PROMPTS:]
    read = reward_on(np.concatenate([points, asked]), model.head)
    shown = sequences(count + np.arange(PROMPTS).repeat(ANSWERS), np.arange(count))
    with torch.no_grad():
        scores = read.outputs(shown.input_ids, shown.attention_mask, shown.completion_mask).float()
    table = scores.view(PROMPTS, ANSWERS, -1)
    pure = (points @ made["directions"].T).reshape(PROMPTS, ANSWERS, -1)
    gold = np.take_along_axis(pure, made["kinds"][-PROMPTS:, None, None], 2)[..., 0]
    models = table_models(torch.zeros(PROMPTS, ANSWERS))
    parts = assembled("rloo", {"combine": "gated"}).parts_with({})
    parts.pop("trainer")
    names = model.head.names
    assert names[-1] == MIXED
    climb(
        models,
        lambda rows, chosen: dict(zip(names, table[rows, chosen[:, 0]].unbind(1), strict=True)),
        *parts.values(),
        prompts=PROMPTS,
        n=8,
        iterations=UPDATES,
        one_scorer=True,
        rate=0.05,
        seed=seed,
    )
    policy = models.policy.probabilities[:, 0].double().numpy()
    return float((policy * gold).sum(1).mean() / gold.max(1).mean()), float((policy * pure[..., -1]).sum(1).mean())


def test_gold_rises_and_length_stays(report):
    found = {on: [reached(seed, debiased=on) for seed in SEEDS] for on in (True, False)}
    print(found)
    off = "taking length out of the attributes"
    report(
        CARD,
        "gold of the policy as a share of the best answers'",
        [gold for gold, _ in found[True]],
        without=[gold for gold, _ in found[False]],
        at_least=0.9,
        seeds=SEEDS,
        switched_off=off,
        every_seed=True,
    )
    report(
        CARD,
        "length of the policy's answers above that of the start, in standard deviations",
        [length for _, length in found[True]],
        without=[length for _, length in found[False]],
        at_most=0.25,
        seeds=SEEDS,
        switched_off=off,
        every_seed=True,
    )
