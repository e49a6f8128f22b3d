"""Signs of a run that goes wrong: each is said with what to try, and a healthy run says nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest

from training.recipes import RECIPES
from training.recipes.alarms import alarms, within_reach
from training.recipes.assembled import has_slots

HEALTHY = {
    "entropy": 2.0,
    "likeness": 0.2,
    "groups_alike": 0.1,
    "clip_share": 0.05,
    "explained_variance": 0.4,
    "ended_share": 0.95,
    "kl_per_token": 0.1,
    "cost_above_limit": -0.2,
    "multiplier": 1.0,
    "violations": 0.02,
    "violations_audit": 0.03,
    "prompts_unused": 0.1,
    "unread_verdicts": 0.05,
    "position_bias": 0.3,
    "unreadable": 0.0,
    "shape_saturated": 0.1,
    "gradient_norm": 0.7,
}
ILL = {
    "entropy": 0.05,
    "likeness": 0.8,
    "groups_alike": 0.9,
    "clip_share": 0.5,
    "explained_variance": -0.1,
    "ended_share": 0.2,
    "kl_per_token": 1.5,
    "cost_above_limit": 0.3,
    "violations": 0.4,
    "violations_audit": 0.6,
    "prompts_unused": 0.6,
    "unread_verdicts": 0.5,
    "position_bias": 0.9,
    "unreadable": 0.5,
    "shape_saturated": 0.7,
    "gradient_norm": 0.0,
}
ONE_WORD = {"kl", "penalty", "temperature", "passes", "proportional", "integral", "multiplier", "threshold"}
KNOBS = {name for one in RECIPES.values() for knob in one.knobs() if "_" in (name := knob.name)} | ONE_WORD


def run(recipe: str = "safe-rlhf", knobs: dict[str, Any] | None = None, **last: float) -> list[str]:
    """Return what is said of ten healthy steps of a recipe and three of another kind."""
    found = RECIPES[recipe].fill(knobs)
    return [str(one) for one in alarms([HEALTHY] * 10 + [{**HEALTHY, **last}] * 3, found)]


@pytest.mark.parametrize(
    ("last", "says"),
    [
        ({"entropy": 0.05}, "almost stopped varying: 0.05 nats per token, 2.00 at the start. Raise kl"),
        ({"likeness": 0.6}, "they share 60% of their tokens, 20% at the start"),
        ({"kl_per_token": 1.5}, "1.5 nats per token from its reference"),
        ({"groups_alike": 0.9}, "In 90% of the groups all rewards were alike"),
        ({"clip_share": 0.5}, "50% of the tokens were clipped. Lower learning_rate"),
        ({"explained_variance": -0.1}, "Raise critic_warmup"),
        ({"ended_share": 0.2}, "Only 20% of the answers came to an end. Raise max_new_tokens"),
        ({"cost_above_limit": 0.3}, "The mean cost is 0.3 above its limit. Give it more iterations"),
        ({"violations": 0.4}, "40% of the answers break a rule. Give it more iterations"),
        ({"violations_audit": 0.3}, "By the audit 30% of the answers break a rule, and by the judges 2%"),
        ({"unread_verdicts": 0.5}, "50% of the judgements name no answer. Raise max_new_tokens"),
        ({"position_bias": 0.9}, "In 90% of the comparisons the judge named the same place in both orders"),
        ({"prompts_unused": 0.6}, "60% of the prompts had no answer to learn from"),
        ({"unreadable": 0.5}, "50% of the answers could not be read"),
        ({"gradient_norm": 0.0}, "the gradient is 0. Raise samples_per_prompt"),
    ],
)
def test_each_sign_is_said_with_what_to_try(last: dict[str, float], says: str) -> None:
    (told,) = run(**last)
    assert says in told


def test_of_a_healthy_run_and_of_one_that_has_no_such_figures_nothing_is_said() -> None:
    assert run() == [] == alarms([{"loss": 0.3}], {}) == alarms([], {})
    assert alarms([{"gradient_norm": 0.0}], RECIPES["dpo"].fill()) == [], "it draws no answers that could differ more"


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ("ppo", "Raise kl,"),
        ("ppo-max", "Lower kl_target,"),
        ("grpo", "Raise kl_weight,"),
        ("superhf", "Raise prior_weight,"),
        ("cgpo-crpg", "Lower kl_budget,"),
        ("cgpo-crraft", "Lower kl_at_most,"),
        ("cgpo-codpo", "Raise pair_beta,"),
        ("ppo-predictive", "Raise penalty,"),
        ("task-mix", "Lower kl_budget,"),  # of its usual task, which is cgpo-crpg
    ],
)
def test_a_policy_that_went_far_is_held_by_a_knob_of_its_recipe(recipe: str, says: str) -> None:
    for sign in ({"kl_per_token": 1.5}, {"entropy": 0.05}, {"likeness": 0.6}):
        (told,) = run(recipe, **sign)
        assert says in told


@pytest.mark.parametrize("recipe", [*(name for name, one in RECIPES.items() if has_slots(one)), "task-mix"])
def test_what_an_alarm_says_to_change_is_a_knob_of_the_recipe(recipe: str) -> None:
    knobs = RECIPES[recipe].fill()
    highest = {"multiplier": knobs.get("multiplier_limit", 0.0)}
    for last in (ILL, {**ILL, **highest}):
        told = run(recipe, **last)
        named = set(re.findall(r"[a-z_]+", " ".join(told))) & KNOBS
        assert len(told) >= 13 and named >= {"learning_rate", "samples_per_prompt"}
        assert named <= set(within_reach(knobs)), told


def test_answers_that_were_as_much_alike_at_the_start_or_share_little_are_no_sign() -> None:
    knobs = RECIPES["superhf"].fill()
    for first, last in ((0.5, 0.7), (0.1, 0.29)):
        assert alarms([{"likeness": first}] * 10 + [{"likeness": last}] * 3, knobs) == []
    (told,) = alarms([{"likeness": 0.1}] * 10 + [{"likeness": 0.31}] * 3, knobs)
    assert "Raise prior_weight" in str(told)


def test_a_weight_of_the_cost_that_can_rise_no_more_says_that_the_limit_is_out_of_reach() -> None:
    for recipe in ("safe-rlhf", "safe-rlhf-pid", "hc-rlhf"):
        (told,) = run(recipe, {"multiplier_limit": 5.0}, cost_above_limit=0.3, multiplier=5.0)
        assert "stands at its highest, 5: no policy" in told and "Raise cost_limit" in told
        assert "iterations" in run(recipe, {"multiplier_limit": 5.0}, cost_above_limit=0.3, multiplier=4.0)[0]
        assert run(recipe, {"multiplier_limit": 5.0}, cost_above_limit=-0.1, multiplier=5.0) == []


def test_a_reward_that_is_flat_says_so_where_its_scale_can_be_set() -> None:
    (told,) = run("ppo-preference", shape_saturated=0.7)
    assert "In 70% of the comparisons" in told and "Lower reward_scale" in told
