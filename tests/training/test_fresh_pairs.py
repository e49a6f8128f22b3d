"""Reward models on pairs that came after them: only such pairs, only of people, and again when there are more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from annotation.models import Feedback
from tests.factories import judge, make_task
from tests.frontend.lead_world import World, finish_run, judge_all, make_world, start_run
from training.models import GateReport, ModelVersion, Run, Snapshot
from training.services import fresh_pairs, mismatch, snapshots, versions

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(monkeypatch: Any) -> World:
    """Return a campaign with a reward model made of all its judgements, a day ago."""
    monkeypatch.setattr(fresh_pairs, "LEAST", 3)
    made = make_world(tasks=4)
    judge_all(made)
    finish_run(start_run(made))
    before = timezone.now() - timedelta(days=1)
    Feedback.objects.update(created_at=before - timedelta(hours=1))
    ModelVersion.objects.update(created_at=before)
    return made


def more(world: World, prompts: list[str]) -> None:
    for prompt in prompts:
        make_task(world.campaign, prompt=prompt, external_id=prompt)
        judge(world.annotator, world.campaign)


def test_fresh_are_pairs_of_prompts_that_the_model_never_saw(world: World) -> None:
    assert fresh_pairs.measure_all() == 0, "nobody has judged anything since"
    more(world, ["Question 0?", "New one?", "New two?", "New three?"])  # the first it has learned from
    assert fresh_pairs.measure_all() == 1
    run = Run.objects.get(recipe__name=fresh_pairs.RECIPE)
    version = ModelVersion.objects.get()
    assert (run.parent, run.inputs["model"], run.kind) == (version, version.path, Run.Kind.EVALUATE)
    assert run.snapshot is not None and run.snapshot.filters["unseen_by"] == version.pk
    prompts = [row["prompt"][0]["content"] for row in snapshots.lines(run.snapshot)]
    assert sorted(prompts) == ["New one?", "New three?", "New two?"]
    assert fresh_pairs.measure_all() == 0, "one is under way"


def test_what_was_measured_is_found_with_its_lineage_and_again_when_there_is_more(world: World) -> None:
    more(world, ["New one?", "New two?", "New three?"])
    fresh_pairs.measure_all()
    measured = {"accuracy": {"estimate": 0.66, "low": 0.3, "high": 0.9, "n": 3}, "calibration_error": 0.1}
    finish_run(Run.objects.get(recipe__name=fresh_pairs.RECIPE), metrics=measured)
    (found,) = fresh_pairs.of_campaign(world.campaign)
    assert (found.version, found.snapshot.rows, found.metrics) == (ModelVersion.objects.get(), 3, measured)
    assert fresh_pairs.measure_all() == 0
    more(world, ["New four?", "New five?", "New six?"])
    assert fresh_pairs.measure_all() == 1
    assert Snapshot.objects.filter(filters__has_key="unseen_by").count() == 2


def test_a_model_of_which_nobody_knows_what_it_learned_from_is_not_measured(world: World) -> None:
    ModelVersion.objects.update(snapshot=None)
    more(world, ["New one?", "New two?", "New three?"])
    assert fresh_pairs.measure_all() == 0


def test_a_data_set_is_unseen_only_by_a_model_of_its_campaign(world: World) -> None:
    with pytest.raises(snapshots.Invalid):
        snapshots.freeze(campaign=world.campaign, view="pairs", filters={"unseen_by": 10**6}, actor=world.lead)


def interval(estimate: float, half: float, n: int) -> dict[str, float]:
    return {"estimate": estimate, "low": estimate - half, "high": estimate + half, "n": n}


@pytest.mark.parametrize(
    ("before", "now", "longer", "says"),
    [
        (interval(0.8, 0.04, 400), interval(0.79, 0.05, 300), interval(0.6, 0.05, 300), []),
        (interval(0.8, 0.04, 400), interval(0.70, 0.05, 300), interval(0.6, 0.05, 300), ["Train one with the new"]),
        # 0.07 lower, but √(0.05² + 0.05²) = 0.0707: noise may do that
        (interval(0.8, 0.05, 250), interval(0.73, 0.05, 300), interval(0.6, 0.05, 300), []),
        (interval(0.62, 0.05, 400), interval(0.58, 0.05, 300), interval(0.6, 0.05, 300), ["the longer answer"]),
        (interval(0.56, 0.05, 400), interval(0.52, 0.05, 300), interval(0.5, 0.05, 300), ["a coin may do too"]),
        (interval(0.9, 0.05, 400), interval(0.3, 0.2, 20), interval(0.6, 0.05, 20), []),
    ],
)
def test_a_model_that_no_longer_knows_what_people_want_raises_an_alarm(
    before: dict[str, float], now: dict[str, float], longer: dict[str, float], says: list[str]
) -> None:
    """With intervals: nothing for a few pairs, nor for what chance may do."""
    version = ModelVersion(kind="reward", number=0, metrics={"eval_accuracy": before})
    one = fresh_pairs.Fresh(version, Run(), Snapshot(), None, {"accuracy": now, "longer_is_chosen": longer})
    said = [str(told) for told in mismatch.of_model([one])]
    assert len(said) == len(says) and all(part in told for part, told in zip(says, said, strict=True))


def test_a_policy_that_climbed_the_reward_and_not_people_is_on_the_page_and_in_rest(world: World) -> None:
    first = versions.add(campaign=world.campaign, kind="policy", path="org/a")
    second = versions.add(campaign=world.campaign, kind="policy", path="org/b", parent=first)
    figures = [
        {"name": "human_win_rate", **interval(0.3, 0.1, 80)},
        {"name": "reward_win_rate", **interval(0.9, 0.1, 80)},
    ]
    report = GateReport.objects.create(candidate=second, parent=first, verdict="fail", figures=figures)
    (said,) = map(str, mismatch.alarms(world.campaign))
    assert said.startswith("The reward model preferred policy-1 in 90%, people in 30% of 80 pairs")
    client = world.client("lead")
    assert said in client.get(f"/campaigns/{world.campaign.pk}/policies/").text
    address = f"/api/training/campaigns/{world.campaign.pk}/reward-figures/"
    assert client.get(address).json()["alarms"] == [said]
    report.figures[0]["high"] = 0.52  # people may find it as good
    report.save()
    assert mismatch.alarms(world.campaign) == []
