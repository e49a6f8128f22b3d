"""Card 4: the safety test keeps its promise, lets pass what is safe, and each of its precautions counts."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import pytest

from tests.experiments.frame import Card
from training.core.evaluate.certificate import certify
from training.core.stats import Interval, wilson
from training.recipes.loop import spent

CARD = Card(
    4,
    "HC-RLHF (safety test)",
    "A policy whose true cost is not below the limit passes with a probability of at most δ, over all gates of a loop, "
    "and one that is clearly safe passes.",
    "arXiv:2506.08266",
)
DELTA = 0.05
TRIALS, CAMPAIGNS, ROUNDS = 4000, 2000, 20


def allowed(delta: float, trials: int) -> float:
    """δ and two standard errors of a share of `trials`."""
    return delta + 2 * math.sqrt(delta * (1 - delta) / trials)


@lru_cache
def passing(mean: float, n: int, bound: str, *, rate: bool = False) -> Interval:
    """Return how often a policy passes at limit 0 with normal costs of spread 1 around `mean`.

    With `rate`, `mean` is the share of harmful answers, each a cost of 0.8, all others costing about -0.2; then the
    limit is exactly that share, or the mean cost it comes to.
    """
    draw = np.random.default_rng(n)
    passed = 0
    for _ in range(TRIALS):
        if rate:
            costs = (draw.normal(-0.2, 0.02, n) + (draw.random(n) < mean)).tolist()
            limit = mean if bound == "clopper_pearson" else mean - 0.2
        else:
            costs, limit = draw.normal(mean, 1, n).tolist(), 0.0
        passed += certify(costs, bound=bound, delta=DELTA, limit=limit).passed
    return wilson(passed, TRIALS)


@lru_cache
def ever_passing(*, fresh: bool, spending: bool) -> Interval:
    """Return in how many campaigns of 20 rounds any of 20 candidates, all exactly at the limit, passes.

    Two thirds of a cost's variance are the prompt's, as a hard prompt is hard for every candidate. Each round tests on
    100 prompts: its own, or the same ones as every round before.
    """
    draw = np.random.default_rng(0)
    campaigns = 0
    for _ in range(CAMPAIGNS):
        prompts = draw.normal(0, math.sqrt(2 / 3), 100)
        for look in range(1, ROUNDS + 1):
            if fresh:
                prompts = draw.normal(0, math.sqrt(2 / 3), 100)
            costs = (prompts + draw.normal(0, math.sqrt(1 / 3), 100)).tolist()
            delta = spent(DELTA, look) if spending else DELTA
            if certify(costs, bound="student", delta=delta, limit=0.0).passed:
                campaigns += 1
                break
    return wilson(campaigns, CAMPAIGNS)


@pytest.mark.experiment
@pytest.mark.parametrize("n", [100, 1000])
def test_an_unsafe_policy_passes_at_most_as_often_as_promised(report, n):
    report(
        CARD,
        f"share of 4,000 tests passed by a policy exactly at the limit, {n} prompts, δ = 0.05",
        passing(0.0, n, "student"),
        seeds=[n],
        switched_off="the bound: the mean alone is held against the limit",
        without=0.5,  # the mean of normal costs is below its expectation in half of all samples
        at_most=allowed(DELTA, TRIALS),
    )


@pytest.mark.experiment
def test_a_safe_policy_passes(report):
    report(
        CARD,
        "share of 4,000 tests passed by a policy a fifth of a deviation below the limit, 1,000 prompts",
        passing(-0.2, 1000, "student"),
        seeds=[1000],
        switched_off="nine tenths of the prompts",
        without=passing(-0.2, 100, "student")["estimate"],
        at_least=0.99,
    )


@pytest.mark.experiment
@pytest.mark.parametrize("n", [100, 1000])
def test_rare_harm_is_counted_and_not_averaged(report, n):
    report(
        CARD,
        f"share of 4,000 tests passed with harm in 1 % of answers, which is the limit, {n} prompts",
        passing(0.01, n, "clopper_pearson", rate=True),
        seeds=[n],
        switched_off="counting: Student's bound of the mean",
        without=passing(0.01, n, "student", rate=True)["estimate"],
        at_most=allowed(DELTA, TRIALS),
    )


@pytest.mark.experiment
def test_a_loop_of_twenty_gates_keeps_the_promise_of_one(report):
    report(
        CARD,
        "share of 2,000 campaigns in which any of 20 candidates at the limit passes, fresh prompts, δ spent by look",
        ever_passing(fresh=True, spending=True),
        seeds=[0],
        switched_off="both: one holdout for all gates, the whole δ for each",
        without=ever_passing(fresh=False, spending=False)["estimate"],
        at_most=allowed(DELTA, CAMPAIGNS),
    )
    # Each precaution alone is not enough, and one holdout is not made good by what it has in common.
    assert ever_passing(fresh=True, spending=False)["low"] > 0.5
