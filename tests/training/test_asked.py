"""What a loop asked people about, and how often its reward model had been right, by the rule and on the audit slice."""

from __future__ import annotations

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from tests.factories import judge
from tests.frontend.lead_world import World, make_loop, make_world, to_labelling
from tests.training.test_commands import called
from training.models import Loop, Round, Sample
from training.services import asked

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return make_world(tasks=0)


@pytest.fixture
def round(world: World) -> Round:
    """Six judged pairs of which the first is the audit slice; the first answer is preferred, but in the last pair."""
    loop = make_loop(world)
    round = to_labelling(world, loop)
    tasks = list(world.campaign.tasks.filter(batch=round.batch).order_by("pk"))
    # In the audit pair and in three of the others the reward model thinks more of the first answer.
    for number, task in enumerate(tasks):
        task.meta["selection"] = "random" if task.is_audit else "bald"
        task.save(update_fields=["meta"])
        scores = (2.0, 1.0) if number < 4 else (1.0, 2.0)
        for one in task.task_completions.all():
            Sample.objects.filter(completion=one.completion, round=round).update(
                scores={"reward": scores[one.position]}
            )
    for number, _task in enumerate(tasks):
        judge(world.annotator, world.campaign, preference=-2 if number == 5 else 2)
    return round


def test_by_hand(world: World, round: Round) -> None:
    """Agreed: the audit pair; of the five chosen ones three, and the last, where both prefer the second answer."""
    (one,) = asked.of_loop(round.loop)
    assert (one.rule, one.pairs, one.audit_pairs, one.labels) == ("bald", 5, 1, 0)
    assert (one.audit.estimate, one.audit.n) == (1.0, 1)
    assert (one.chosen.estimate, one.chosen.n) == (0.8, 5)
    assert one.chosen.low is not None and one.chosen.low < 0.5 < one.chosen.high  # type: ignore[operator]


def test_without_a_reward_model_and_without_judgements_nothing_is_made_up(world: World, round: Round) -> None:
    Sample.objects.update(scores={})
    (one,) = asked.of_loop(round.loop)
    assert one.pairs == 5 and one.chosen.n == one.audit.n == 0 and one.chosen.estimate is None
    html = world.client("lead").get(at(world)).content.decode()
    assert "5 pairs<br>" in html and "no reward model yet" in html
    later = Round(loop=round.loop, index=2)
    assert [one.round.index for one in asked.of_loop(round.loop, [round, later])] == [1]


def at(world: World) -> str:
    return reverse("loop", args=[world.campaign.pk])


def test_it_stands_on_the_loop_s_page_in_its_file_over_rest_and_in_a_terminal(world: World, round: Round) -> None:
    html = world.client("lead").get(at(world)).content.decode()
    assert "What people were asked about" in html and "80%" in html and "The reward model on the audit slice" in html
    file = world.client("lead").get(at(world), {"format": "asked"}).content.decode().splitlines()
    assert file[0].startswith("round,rule,labels_before,pairs,audit_pairs,chosen_agrees,")
    assert file[1].startswith("1,bald,0,5,1,0.8,")
    client = APIClient()
    client.force_authenticate(world.lead)
    (told,) = client.get(reverse("api-loop-asked", args=[world.campaign.pk])).json()
    assert told["round"] == 1 and told["rule"] == "bald" and told["chosen"]["estimate"] == 0.8
    assert told["audit"]["n"] == told["audit_pairs"] == 1
    said = called("loop", "--campaign", str(world.campaign.pk), "--asked")
    assert "Round 1, 0 labels before: agreed with people on 0.800 (" in said and "chosen by bald" in said


def test_a_campaign_without_a_loop_has_none(world: World) -> None:
    client = APIClient()
    client.force_authenticate(world.lead)
    assert client.get(reverse("api-loop-asked", args=[world.campaign.pk])).status_code == 404
    assert not Loop.objects.exists()
