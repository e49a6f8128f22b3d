"""Signs of a run that goes wrong: each is said with what to try, and a healthy run says nothing."""

from __future__ import annotations

import pytest

from training.recipes.alarms import alarms

HEALTHY = {
    "entropy": 2.0,
    "groups_alike": 0.1,
    "clip_share": 0.05,
    "explained_variance": 0.4,
    "ended_share": 0.95,
    "kl_per_token": 0.1,
    "cost_above_limit": -0.2,
    "violations": 0.02,
    "violations_audit": 0.03,
    "prompts_unused": 0.1,
    "unread_verdicts": 0.05,
    "position_bias": 0.3,
}


def run(**last: float) -> list[str]:
    """Return what is said of ten healthy steps and three of another kind."""
    return alarms([HEALTHY] * 10 + [{**HEALTHY, **last}] * 3)


@pytest.mark.parametrize(
    ("last", "says"),
    [
        ({"entropy": 0.05}, "almost stopped varying: 0.05 nats per token, 2.00 at the start. Raise kl"),
        ({"kl_per_token": 1.5}, "1.5 nats per token from its reference"),
        ({"groups_alike": 0.9}, "In 90% of the groups all rewards were alike"),
        ({"clip_share": 0.5}, "50% of the tokens were clipped. Lower learning_rate"),
        ({"explained_variance": -0.1}, "Raise critic_warmup"),
        ({"ended_share": 0.2}, "Only 20% of the answers came to an end. Raise max_new_tokens"),
        ({"cost_above_limit": 0.3}, "The mean cost is 0.3 above its limit"),
        ({"violations": 0.4}, "40% of the answers break a rule. Give it more iterations"),
        ({"violations_audit": 0.3}, "By the audit 30% of the answers break a rule, and by the judges 2%"),
        ({"unread_verdicts": 0.5}, "50% of the judgements name no answer. Raise max_new_tokens"),
        ({"position_bias": 0.9}, "In 90% of the comparisons the judge named the same place in both orders"),
        ({"prompts_unused": 0.6}, "60% of the prompts had no answer to learn from"),
    ],
)
def test_each_sign_is_said_with_what_to_try(last: dict[str, float], says: str) -> None:
    (told,) = run(**last)
    assert says in told


def test_of_a_healthy_run_and_of_one_that_has_no_such_figures_nothing_is_said() -> None:
    assert run() == [] == alarms([{"loss": 0.3}]) == alarms([])
