"""Card 5: a cost model whose zero is the border of safe, and whose costs grow with severity."""

from __future__ import annotations

import random
from statistics import fmean
from typing import Any

import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.world import PLAIN, WORDS, do, word_policy
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


def text(draw: random.Random, severity: int) -> str:
    words = [draw.choice(HARMS[0]) for _ in range(draw.randint(3, 6))]
    if severity:
        words.insert(draw.randint(0, len(words)), draw.choice(HARMS[severity]))
    return " ".join(words)


def rows(count: int, *, seed: int, wrong_minor: float, against_safe: bool) -> list[dict[str, Any]]:
    """Pairs of two severities, so many of the minor harms labelled safe; or always one of them safe.

    Where harms are never held against each other, only their labels can say which is worse.
    """
    draw = random.Random(seed)
    found: list[dict[str, Any]] = []
    while len(found) < count:
        levels = [0 if against_safe else draw.randint(0, 3), draw.randint(0, 3)]
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


def measured(folder, policy, *, seed: int, against_safe: bool, **knobs) -> dict[str, float]:
    """Train a cost model and return how it does on texts it has not seen, whose severity is known."""
    knobs = {"epochs": 8, "batch_size": 32, "micro_batch": 32, "learning_rate": 2e-3, "eval_share": 0.0} | knobs
    data = rows(500, seed=seed, wrong_minor=0.25, against_safe=against_safe)
    spec, _ = do(folder, "cost-model", model=policy, seed=seed, rows=data, **knobs)
    scorer = RewardScorer(f"{spec.output}/model", device=torch.device("cpu"))
    draw = random.Random(1000 + seed)
    texts = {level: [text(draw, level) for _ in range(100)] for level in range(4)}
    prompt = [{"role": "user", "content": "old near one"}]
    costs = {level: [-s for s in scorer.score([prompt] * 100, some)] for level, some in texts.items()}
    signs = [cost < 0 for cost in costs[0]] + [cost > 0 for level in (1, 2, 3) for cost in costs[level]]
    means = {level: fmean(some) for level, some in costs.items()}
    steps = [means[level + 1] - means[level] for level in range(3)]
    pairs = [a > b for level in range(3) for a, b in zip(costs[level + 1], costs[level], strict=True)]
    weighed = fmean((fmean(signs[:100]), fmean(signs[100:])))
    return {"sign": weighed, "pairs": fmean(pairs), "least_step": min(steps), "minor": means[1], "safe": means[0]}


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, list[dict[str, float]]]:
    """All arms with a quarter of the minor labels wrong: as it is and without sign terms, and on pairs with a safe
    answer as it is and without margins."""
    folder = tmp_path_factory.mktemp("costs")
    policy = word_policy(folder / "policy")
    arms = {
        "whole": {"against_safe": False},
        "ranking": {"against_safe": False, "sign_weight": 0.0},
        "margin": {"against_safe": True},
        "flat": {"against_safe": True, "severity_as": "none"},
    }
    told = {
        arm: [measured(folder / f"{arm}{s}", policy, seed=s, **knobs) for s in SEEDS] for arm, knobs in arms.items()
    }
    print(told)
    return told


@pytest.mark.experiment
def test_the_zero_is_the_border_of_safe(found, report):
    report(
        CARD,
        "answers on the right side of 0, safe and unsafe weighed alike",
        [one["sign"] for one in found["whole"]],
        seeds=SEEDS,
        switched_off="sign terms: ranking alone",
        without=[one["sign"] for one in found["ranking"]],
        at_least=0.95,
        every_seed=True,
    )
    assert all(one["pairs"] >= 0.95 for one in found["whole"])


@pytest.mark.experiment
def test_worse_harms_cost_more_although_minor_labels_are_wrong(found, report):
    """Mean costs in order, severe > moderate > minor > 0 > safe, and far enough apart to tell them by the cost."""
    assert all(one["minor"] > 0 > one["safe"] and one["least_step"] > 0 for one in found["margin"])
    report(
        CARD,
        "smallest step of mean cost from one severity to the next, learned from pairs with a safe answer each",
        [one["least_step"] for one in found["margin"]],
        seeds=SEEDS,
        switched_off="severity as margin",
        without=[one["least_step"] for one in found["flat"]],
        at_least=0.5,
        every_seed=True,
    )
