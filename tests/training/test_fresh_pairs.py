"""Reward models on pairs that came after them: only such pairs, only of people, and again when there are more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from annotation.models import Feedback
from tests.factories import judge, make_task
from tests.frontend.lead_world import World, finish_run, judge_all, make_world, start_run
from training.models import ModelVersion, Run, Snapshot
from training.services import fresh_pairs, snapshots

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
