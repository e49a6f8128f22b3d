"""Card 5: a cost model whose zero is the border of safe, and whose costs grow with severity."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.world import PLAIN, WORDS, do, learn, pairs_of, reward_on, sequences, word_policy
from training.core.heads import CostHead
from training.core.losses.cost import cost
from training.core.objectives import pair_costs
from training.core.scorers import RewardScorer

CARD = Card(
    5,
    "Cost model (Safe RLHF-V)",
    "With sign terms a cost's zero parts safe from unsafe, and with severity as margin worse harms cost more, also "
    "when a quarter of the labels for minor harm are wrong. A ranking alone leaves the zero anywhere.",
    "arXiv:2503.17682",
)
# The worst word in an answer decides how severe it is.
HARMS = {0: WORDS[:12], 1: ["saw", "nail"], 2: ["rope", "axe"], 3: ["pen", "key"]}
SEEDS = (0, 1)

pytestmark = pytest.mark.experiment


def text(draw: random.Random, severity: int) -> str:
    words = [draw.choice(HARMS[0]) for _ in range(draw.randint(3, 6))]
    if severity:
        words.insert(draw.randint(0, len(words)), draw.choice(HARMS[severity]))
    return " ".join(words)


def rows(count: int, *, seed: int, wrong_minor: float = 0.25) -> list[dict[str, Any]]:
    """Pairs of two severities, so many of the minor harms labelled safe."""
    draw = random.Random(seed)
    found: list[dict[str, Any]] = []
    while len(found) < count:
        levels = [draw.randint(0, 3), draw.randint(0, 3)]
        if levels[0] == levels[1]:
            continue
        texts = [text(draw, level) for level in levels]
        told = [0 if level == 1 and draw.random() < wrong_minor else level for level in levels]
        safer = min((0, 1), key=lambda i: levels[i])
        found.append(
            {
                "prompt": f"{draw.choice(PLAIN)} {draw.choice(PLAIN)} one",
                "chosen": texts[safer],
                "rejected": texts[1 - safer],
                "chosen_is_safe": told[safer] == 0,
                "rejected_is_safe": told[1 - safer] == 0,
                "chosen_severity": told[safer],
                "rejected_severity": told[1 - safer],
            }
        )
    return found


def measured(folder, policy, *, seed: int, **knobs: Any) -> dict[str, float]:
    """Train a cost model and return how it does on texts it has not seen, whose severity is known."""
    knobs = {"epochs": 8, "batch_size": 32, "micro_batch": 32, "learning_rate": 2e-3, "eval_share": 0.0} | knobs
    spec, _ = do(folder, "cost-model", model=policy, seed=seed, rows=rows(500, seed=seed), **knobs)
    scorer = RewardScorer(f"{spec.output}/model", device=torch.device("cpu"))
    draw = random.Random(1000 + seed)
    texts = {level: [text(draw, level) for _ in range(100)] for level in range(4)}
    prompt = [{"role": "user", "content": "old near one"}]
    costs = {level: [-s for s in scorer.score([prompt] * 100, some)] for level, some in texts.items()}
    safe = fmean(one < 0 for one in costs[0])
    unsafe = fmean(one > 0 for level in (1, 2, 3) for one in costs[level])
    pairs = fmean(a > b for level in range(3) for a, b in zip(costs[level + 1], costs[level], strict=True))
    return {"sign": (safe + unsafe) / 2, "pairs": pairs}


def test_the_zero_is_the_border_of_safe(report, tmp_path):
    policy = word_policy(tmp_path / "policy")
    found = [measured(tmp_path / f"whole{seed}", policy, seed=seed) for seed in SEEDS]
    ranked = [measured(tmp_path / f"ranking{seed}", policy, seed=seed, sign_weight=0.0) for seed in SEEDS]
    print(found, ranked)
    report(
        CARD,
        "answers on the right side of 0, safe and unsafe weighed alike",
        [one["sign"] for one in found],
        seeds=SEEDS,
        switched_off="sign terms: ranking alone",
        without=[one["sign"] for one in ranked],
        at_least=0.95,
        every_seed=True,
    )
    assert all(one["pairs"] >= 0.95 for one in (*found, *ranked)), "the ranking itself was not learned"


def mean_costs(seed: int, severity_as: str, *, count: int = 3000, wide: int = 16) -> list[float]:
    """Return the mean costs of unseen answers of severity 0 to 3, learned from pairs of a safe and an unsafe answer.

    An answer is a point that tells its severity, through noise. Harms are never held against each other, so that
    nothing but their labels can say which is worse; a quarter of the minor ones are labelled safe.
    """
    draw = np.random.default_rng(seed)
    torch.manual_seed(seed)
    levels = np.concatenate([np.zeros(count, int), draw.integers(1, 4, count), np.repeat(np.arange(4), 500)])
    table = draw.normal(size=(len(levels), wide)) * 0.3
    table[np.arange(len(levels)), levels] += 1.0
    told = np.where((levels == 1) & (draw.random(len(levels)) < 0.25), 0, levels)
    model = reward_on(table, CostHead(wide))

    def pairs(rows: np.ndarray):
        batch = pairs_of(rows, rows, count + rows, rows)
        severities = {"chosen_severity": told[rows], "rejected_severity": told[count + rows]}
        return replace(batch, extra={name: torch.tensor(values).float() for name, values in severities.items()})

    loss = partial(cost, sign_weight=1.0, severity_as=severity_as, margin_scale=1.0, regularization=0.001)
    learn(model, pair_costs, loss, pairs, count, epochs=20, rate=3e-2, seed=seed, size=100)
    unseen = sequences(np.arange(2 * count, len(levels)), np.arange(2 * count, len(levels)))
    with torch.no_grad():
        found = -model.scores(unseen.input_ids, unseen.attention_mask)
    return [float(some.mean()) for some in found.view(4, -1)]


def test_worse_harms_cost_more_although_minor_labels_are_wrong(report):
    """Mean costs in order, severe > moderate > minor > 0 > safe, and severe ones a step above moderate ones."""
    seeds = (0, 1, 2, 3, 4)
    found = [mean_costs(seed, "margin") for seed in seeds]
    flat = [mean_costs(seed, "none") for seed in seeds]
    print(found, flat)
    assert all(severe > moderate > minor > 0 > safe for safe, minor, moderate, severe in found)
    report(
        CARD,
        "mean cost of severe harms above that of moderate ones, learned from pairs with a safe answer each",
        [one[3] - one[2] for one in found],
        seeds=seeds,
        switched_off="severity as margin",
        without=[one[3] - one[2] for one in flat],
        at_least=0.5,
    )
