"""What data sets are narrowed by, and the views that are made of others."""

from __future__ import annotations

import datetime

import pytest
from django.utils import timezone

from annotation import datasets
from annotation.dataset_filters import agreeing, agreement_of
from annotation.errors import Invalid
from annotation.feedback.points import Point
from annotation.models import Feedback
from tests.factories import judge, make_campaign, make_task

pytestmark = pytest.mark.django_db


def tasks_of(campaign, view="pairs", **filters):
    return [row["task"] for row in datasets.rows(campaign, view, datasets.Filters(**filters))]


def test_by_round_policy_language_and_time(lead, annotator):
    campaign = make_campaign(lead=lead, annotators=[annotator])
    make_task(campaign, external_id="one", meta={"round": 1, "policy": "policy-0"}, requires=["lang:de"])
    make_task(campaign, external_id="two", meta={"round": 2, "policy": "policy-1"}, requires=["lang:fr"])
    make_task(campaign, external_id="old")
    campaign.memberships.filter(user=annotator).update(skills=["lang:de", "lang:fr"])
    campaign.refresh_from_db()
    for _ in range(3):
        judge(annotator, campaign)
    past = timezone.now() - datetime.timedelta(days=30)
    Feedback.objects.filter(task__external_id="old").update(created_at=past)
    assert tasks_of(campaign, rounds=[2]) == ["two"]
    assert tasks_of(campaign, rounds=[1, 2]) == ["one", "two"]
    assert tasks_of(campaign, policies=["policy-0"]) == ["one"]
    assert tasks_of(campaign, languages=["DE"]) == ["one"]
    assert tasks_of(campaign, languages=["it"]) == []
    day = (past + datetime.timedelta(days=1)).date().isoformat()
    assert tasks_of(campaign, since=day) == ["one", "two"]
    assert tasks_of(campaign, until=day) == ["old"]
    assert tasks_of(campaign, since=past.isoformat(), until=day) == ["old"]
    with pytest.raises(Invalid, match="ISO 8601"):
        datasets.Filters(since="last week")


def test_by_agreement_and_what_people_said_together(lead, annotator):
    campaign = make_campaign(lead=lead, annotators=[annotator])
    for name in ("agreed", "split", "alone"):
        make_task(campaign, external_id=name, wanted=2)
    judge(annotator, campaign, preference=3)
    judge(annotator, campaign, preference=3)
    judge(annotator, campaign, preference=1)
    judge(lead, campaign, preference=1)
    judge(lead, campaign, preference=-2)
    assert tasks_of(campaign, min_agreement=1) == ["agreed", "agreed"]
    assert tasks_of(campaign, min_agreement=0) == ["agreed", "split", "agreed", "split"], "one person shows none"
    agreed, split, alone = datasets.rows(campaign, "aggregates")
    (whole,) = agreed["aggregate"]
    assert whole == {
        "dimension": "preference",
        "place": 0,
        "value": 1,  # the lower of 3 and 1: one that somebody gave
        "category": "first",
        "agreement": 1.0,
        "judgements": 2,
    }
    assert (agreed["agreement"], split["agreement"], alone["agreement"]) == (1.0, 0.0, None)
    assert [one["annotator"] for one in split["judgements"]] == [annotator.pseudonym, lead.pseudonym]
    assert [one["payload"]["preference"] for one in split["judgements"]] == [3, -2]
    assert (split["count"], alone["count"]) == (2, 1)
    last = list(datasets.rows(campaign, "aggregates", after_id=split["feedback"] - 1))
    assert last == [split], "what is new, with what was there before"


def test_by_severity(lead, annotator):
    campaign = make_campaign(lead=lead, annotators=[annotator], kind="safety")
    for name, level in (("safe", None), ("minor", "1"), ("severe", "3")):
        make_task(campaign, external_id=name, completions=["It."])
        said = {"safe_1": "unsafe", "harm_1_violence": level} if level else {"safe_1": "safe"}
        judge(annotator, campaign, data=said)
    assert tasks_of(campaign, "safety", min_severity=1) == ["minor", "severe"]
    assert tasks_of(campaign, "safety", min_severity=2) == ["severe"]


def test_agreement_worked_out_by_hand():
    """Of a, a, b three pairs, one of which is equal. Over two questions, the mean."""
    assert agreeing(["a", "a", "b"]) == pytest.approx(1 / 3)
    assert agreeing(["a"]) is None
    points = [[Point("x", 0, 1, "a"), Point("y", 0, 1, "b")], [Point("x", 0, 2, "a"), Point("y", 0, 0, "c")]]
    assert agreement_of(points) == 0.5
    assert agreement_of(points[:1]) is None


def test_people_have_pairs_to_learn_from_and_others_to_be_told(lead, annotator):
    campaign = make_campaign(lead=lead, annotators=[annotator], tasks=20, overlap=2)
    for _ in range(20):
        judge(annotator, campaign)
    judge(lead, campaign)
    first, second = datasets.rows(campaign, "people")
    assert (len(first["context"]), len(first["target"])) == (8, 8)
    assert (len(second["context"]), len(second["target"])) == (2, 2)
    assert {first["annotator"], second["annotator"]} == {annotator.pseudonym}, "one pair tells nothing of another"
    prompts = [pair["prompt"][0]["content"] for pair in [*first["context"], *first["target"]]]
    assert len(set(prompts)) == 16
    assert set(first["context"][0]) == {"prompt", "chosen", "rejected", "strength"}


def test_outcomes_and_turns(lead, annotator):
    rated = make_campaign(lead=lead, annotators=[annotator], kind="ratings", options={"attributes": ["Good", "Kind"]})
    make_task(rated, completions=["It."])
    judge(annotator, rated, data={"good_1": "4", "kind_1": "1"})
    (row,) = datasets.rows(rated, "outcomes")
    assert (row["reward"], row["source"]) == (5 / 8, "ratings")
    compared = make_campaign(lead=lead, annotators=[annotator])
    make_task(compared)
    judge(annotator, compared, preference=-2)
    (turn,) = datasets.rows(compared, "turns")
    assert (turn["gap"], turn["number"]) == (2 / 3, 1)
