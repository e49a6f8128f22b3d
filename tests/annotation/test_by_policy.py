"""Agreement, win rates and severities by round and policy, against figures reckoned by hand or by other libraries."""

from __future__ import annotations

import itertools
from typing import Any

import krippendorff
import numpy as np
import pytest

from annotation import by_policy, sums
from annotation.models import User
from annotation.quality.shares import wilson
from tests.factories import judge, make_assignment, make_campaign, make_task, make_user

pytestmark = pytest.mark.django_db


def test_agreement_of_each_round_is_krippendorffs_alpha_of_its_items() -> None:
    people = [make_user() for _ in range(3)]
    campaign = make_campaign(annotators=people, overlap=3)
    said: dict[int, list[list[int]]] = {1: [], 2: []}
    dice = np.random.default_rng(0)
    for round, _item in itertools.product((1, 2), range(6)):
        make_task(campaign, meta={"round": round, "policy": f"policy-{round}"})
        said[round].append([int(value) for value in dice.integers(-3, 4, size=3)])
    for person, number in itertools.product(range(3), range(12)):
        round, item = (1, number) if number < 6 else (2, number - 6)
        judge(people[person], campaign, preference=said[round][item][person])
    found = by_policy.agreed(campaign, sums.of(campaign))
    assert [(one.round, one.policy, one.judgements, one.items) for one in found] == [
        (2, "policy-2", 18, 6),
        (1, "policy-1", 18, 6),
    ]
    for one in found:
        assert one.round is not None
        table = np.array(said[one.round]).T
        assert one.alpha == pytest.approx(krippendorff.alpha(table, level_of_measurement="ordinal"), abs=1e-9)
        assert one.low is not None and one.high is not None and one.low <= one.alpha <= one.high


def test_where_agreement_is_not_defined_it_is_said_why(annotator: User) -> None:
    other = make_user()
    campaign = make_campaign(annotators=[annotator, other])
    make_task(campaign, meta={"round": 1})
    make_task(campaign, meta={"round": 2}, wanted=2)
    judge(annotator, campaign, preference=1)
    judge(annotator, campaign, preference=1)
    judge(other, campaign, preference=1)
    assert [(one.round, one.alpha, one.undefined) for one in by_policy.agreed(campaign, sums.of(campaign))] == [
        (2, None, "constant"),
        (1, None, "single"),
    ]


def test_the_win_rate_is_the_later_policys_whichever_stood_first(annotator: User) -> None:
    campaign = make_campaign(annotators=[annotator])
    # Preferences are canonical: positive for what stands first. "policy-10" comes after "policy-9".
    for origins, preference in (
        (("policy-9", "policy-10"), -2),
        (("policy-10", "policy-9"), 3),
        (("policy-9", "policy-10"), 1),
        (("policy-9", "policy-10"), 0),
        (("policy-9", "policy-9"), 3),
    ):
        make_task(campaign, origins=origins, meta={"round": 10, "policy": "policy-10"}, batch="round-10")
        judge(annotator, campaign, preference=preference)
    (one,) = by_policy.wins(sums.of(campaign))
    assert (one.policy, one.other, one.won, one.lost, one.ties) == ("policy-10", "policy-9", 2, 1, 1)
    assert (one.rate.estimate, one.rate.n) == (2.5 / 4, 4)
    assert (one.rate.low, one.rate.high) == wilson(2.5, 4)


def test_simulated_people_are_counted_only_where_nobody_else_has_judged(annotator: User) -> None:
    robot = make_user(is_simulated=True)
    campaign = make_campaign(annotators=[annotator, robot], tasks=2)
    judge(robot, campaign, preference=3)
    (one,) = by_policy.wins(sums.of(campaign))
    assert by_policy.is_simulated(sums.of(campaign)) and one.rate.n == 1
    judge(annotator, campaign, preference=-3)
    (one,) = by_policy.wins(sums.of(campaign))
    assert not by_policy.is_simulated(sums.of(campaign)) and (one.policy, one.won, one.lost) == ("model-b", 1, 0)


def test_severities_are_those_of_each_policys_answers(annotator: User) -> None:
    campaign = make_campaign(kind="safety", annotators=[annotator], options={"pack": "safe-rlhf"})
    said: list[dict[str, Any]] = [{"safe_1": "safe"}, {"safe_1": "unsafe", "harm_1_violence": "3"}]
    for _ in said:
        make_task(campaign, completions=("Only one answer.",), origins=("policy-4",), meta={"round": 4})
    for data in said:
        judge(annotator, campaign, assignment=make_assignment(annotator, campaign), data=data)
    (one,) = by_policy.severities(sums.of(campaign))
    assert (one.round, one.policy, one.levels, one.safe.estimate) == (4, "policy-4", (1, 0, 0, 1), 0.5)
