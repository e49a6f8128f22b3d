"""What training tells other servers: rounds that move on, models that are put into use, data sets that are frozen."""

from __future__ import annotations

import json
from typing import Any

import pytest

from annotation.models import Delivery
from annotation.services import webhooks
from tests.frontend.lead_world import World, finish_run, judge_all, make_loop, make_world, start_run, to_labelling
from training.models import ModelVersion
from training.services import promotion

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(settings: Any) -> World:
    settings.ATTUNE_WEBHOOKS_PRIVATE = True
    made = make_world()
    judge_all(made)
    return made


def listen(world: World, event: str) -> None:
    webhooks.add(campaign=world.campaign, url="http://127.0.0.1:9/hook", wanted=[event], actor=world.lead)


def told(event: str) -> list[dict[str, Any]]:
    """Return what waits to be sent, all of it of one kind."""
    found = [json.loads(body) for body in Delivery.objects.order_by("id").values_list("body", flat=True)]
    assert {one["type"] for one in found} <= {event}
    return [one["data"] for one in found]


def test_a_frozen_data_set_is_told(world: World) -> None:
    listen(world, "snapshot.created")
    run = start_run(world)
    (data,) = told("snapshot.created")
    assert data["campaign"] == world.campaign.pk and str(run.snapshot_id) in json.dumps(data)
    start_run(world)
    assert len(told("snapshot.created")) == 1, "the same bytes are no new data set"


def test_a_model_put_into_use_and_back_is_told(world: World) -> None:
    first, second = finish_run(start_run(world)).output, finish_run(start_run(world)).output
    assert first is not None and second is not None
    listen(world, "version.promoted")
    promotion.promote(version=first, actor=world.lead)
    promotion.promote(version=second, actor=world.lead)
    promotion.roll_back(version=ModelVersion.objects.get(pk=first.pk), actor=world.lead)
    assert [one["target"] for one in told("version.promoted")] == ["reward-0", "reward-1", "reward-0"]


def test_each_step_of_a_round_is_told(world: World) -> None:
    listen(world, "round.state")
    round = to_labelling(world, make_loop(world))
    found = told("round.state")
    assert [one["action"] for one in found] == ["round.drafting", "round.sampling", "round.labelling"]
    assert {one["target"] for one in found} == {f"round {round.index}"}
