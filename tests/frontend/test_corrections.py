"""A rewriting model's suggestion, accepted by a person: one judgement, in the campaign where people write."""

from __future__ import annotations

import json

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from annotation import datasets
from annotation.models import Campaign, Feedback, Gold, Membership, Role, Task
from annotation.services import queue
from annotation.services.campaigns import pause_campaign
from tests.factories import make_campaign, make_task, make_user
from tests.frontend.lead_world import World, finish_run, judge_all, make_world, start_run
from training import paths
from training.models import Run
from training.services import explorer

pytestmark = pytest.mark.django_db
ASKED = [{"role": "user", "content": "Why does bread rise?"}]
BEFORE, AFTER = "Yeats makes gas.", "Yeast makes gas."


@pytest.fixture
def world() -> World:
    world = make_world(tasks=1)
    judge_all(world)
    finish_run(start_run(world))
    return world


@pytest.fixture
def writing(world: World) -> Campaign:
    return make_campaign("Better bread", lead=world.lead, kind="rewrite")


@pytest.fixture
def run(world: World) -> Run:
    """A look at two answers, of which the model would rewrite the first."""
    versions = explorer.models(world.campaign)
    run = explorer.create(
        campaign=world.campaign, prompt=ASKED, answers=[BEFORE, "It is warm."], versions=versions, actor=world.lead
    )
    told = {
        "model": "reward-0",
        "head": "rewrite",
        "names": ["rewrite"],
        "values": [[0.5], [1.0]],
        "scores": [0.5, 1.0],
    }
    told |= {"spread": [None, None], "members": [[], []], "credit": [], "rewrites": [AFTER, "It is warm."]}
    finish_run(run, metrics={"models_agree": 1.0})
    (paths.run_folder(run.pk) / "explored.json").write_text(json.dumps({"models": [told]}))
    return run


def send(world: World, run: Run, campaign: Campaign, who: str = "lead", **data: object):
    body = {"model": "reward-0", "answer": "0", "text": AFTER, "campaign": campaign.pk, "client_key": "k", **data}
    return world.client(who).post(reverse("explored", args=[run.pk]), body)


def rows(campaign: Campaign, view: str) -> list[dict]:
    return list(datasets.rows(campaign, view))


def test_an_accepted_rewrite_is_one_judgement_that_says_whose_words_it_has(
    world: World, run: Run, writing: Campaign
) -> None:
    html = world.client("lead").get(reverse("explored", args=[run.pk])).content.decode()
    assert "Its rewrite of answer A" in html and AFTER in html and "Better bread" in html
    assert "It would leave this answer as it is." in html and html.count('name="text"') == 1
    assert send(world, run, writing).status_code == 302
    assert send(world, run, writing).status_code == 302  # the same key: a double click
    (one,) = Feedback.objects.filter(campaign=writing)
    assert one.user == world.lead and one.task.done == one.task.wanted == 1
    assert one.payload["suggested"] == {"by": "reward-0", "text": AFTER}
    (demonstration,), (pair,) = rows(writing, "demonstrations"), rows(writing, "pairs")
    assert demonstration["completion"][0]["content"] == AFTER
    assert demonstration["completion_origin"] == pair["chosen_origin"] == "rewrite by reward-0"
    assert pair["rejected"][0]["content"] == BEFORE and pair["prompt"] == ASKED
    html = world.client("lead").get(reverse("explored", args=[run.pk])).content.decode()
    assert "Your correction in “Better bread”" in html and "Change your correction" in html


def test_what_is_edited_says_so_and_correcting_again_is_a_newer_version(
    world: World, run: Run, writing: Campaign
) -> None:
    send(world, run, writing)
    send(world, run, writing, text="Yeast makes gas, which lifts it.", client_key="k2")
    assert Feedback.objects.filter(campaign=writing).count() == 2
    (row,) = rows(writing, "demonstrations")
    assert row["completion_origin"] == "rewrite by reward-0, edited"
    assert Feedback.objects.current().get(campaign=writing).version == 2
    # From the work screen, where nothing is suggested, the next version still tells where it came from.
    assignment = Feedback.objects.current().get(campaign=writing).assignment
    path = reverse("api-submit", args=[assignment.key])
    client = APIClient()
    client.force_authenticate(world.lead)
    assert client.post(path, {"text": "Yeast lifts it.", "client_key": "k3"}, format="json").status_code == 200
    (row,) = rows(writing, "demonstrations")
    assert (row["completion"][0]["content"], row["completion_origin"]) == (
        "Yeast lifts it.",
        "rewrite by reward-0, edited",
    )


def test_an_item_that_is_there_is_taken_and_nobody_loses_a_seat(world: World, run: Run, writing: Campaign) -> None:
    item = make_task(writing, prompt=ASKED[0]["content"], completions=[BEFORE])
    other = make_user("olga")
    Membership.objects.create(campaign=writing, user=other, role=Role.ANNOTATOR)
    Membership.objects.create(campaign=world.campaign, user=other, role=Role.ENGINEER)
    assert queue.next_task(user=other, campaign=writing).task == item  # on the screen of somebody
    assert send(world, run, writing).status_code == 302
    item.refresh_from_db()
    assert (item.wanted, item.done, item.seats) == (2, 1, 0) and Task.objects.filter(campaign=writing).count() == 1
    assert queue.next_task(user=world.lead, campaign=writing) is None
    world.other = other  # type: ignore[attr-defined]
    assert send(world, run, writing, "other", text="Yeast does.").status_code == 302
    item.refresh_from_db()
    assert (item.wanted, item.done, item.seats) == (2, 2, 0)
    assert {row["completion_origin"] for row in rows(writing, "demonstrations")} == {
        "rewrite by reward-0",
        "rewrite by reward-0, edited",
    }


def test_what_cannot_be_accepted_says_why_and_keeps_what_was_typed(world: World, run: Run, writing: Campaign) -> None:
    empty = send(world, run, writing, text=" ", comment="It misspells.")
    assert empty.status_code == 422 and "Write the answer here." in empty.content.decode()
    assert "It misspells." in empty.content.decode()
    # An engineer looks at scores and judges nothing; a campaign of pairs takes no better answers.
    assert send(world, run, writing, "engineer").status_code == 404
    assert send(world, run, world.campaign).status_code == 422
    assert send(world, run, writing, model="nobody").status_code == 409
    assert send(world, run, writing, answer="7").status_code == 409
    pause_campaign(campaign=writing, actor=world.lead)
    closed = send(world, run, writing, text="Typed with care.")
    assert closed.status_code == 409 and "Typed with care." in closed.content.decode()
    assert not Feedback.objects.filter(campaign=writing).exists() and not writing.tasks.exists()


def test_what_is_measured_blind_takes_no_suggestion(world: World, run: Run, writing: Campaign) -> None:
    item = make_task(writing, prompt=ASKED[0]["content"], completions=[BEFORE], is_audit=True)
    refused = send(world, run, writing)
    assert refused.status_code == 409 and item.external_id in refused.content.decode()
    Task.objects.filter(pk=item.pk).update(is_audit=False)
    Gold.objects.create(task=item, payload={"text": AFTER, "comment": "", "was": BEFORE}, created_by=world.lead)
    assert send(world, run, writing).status_code == 409


def test_the_same_over_rest(world: World, run: Run, writing: Campaign) -> None:
    client = APIClient()
    client.force_authenticate(world.lead)
    path = reverse("api-exploration-correction", args=[run.pk])
    body = {"model": "reward-0", "answer": 0, "campaign": writing.pk, "client_key": "k"}
    made = client.post(path, body, format="json")
    assert made.status_code == 201 and made.json()["origin"] == "rewrite by reward-0"
    assert client.post(path, body, format="json").json() == made.json()
    edited = client.post(path, {**body, "text": "Yeast does.", "client_key": "k2"}, format="json").json()
    assert (edited["version"], edited["origin"]) == (2, "rewrite by reward-0, edited")
    assert client.post(path, {**body, "answer": 1, "client_key": "k3"}, format="json").status_code == 201
    assert client.post(path, {**body, "campaign": 10**9}, format="json").status_code == 404
    client.force_authenticate(world.engineer)
    assert client.post(path, body, format="json").status_code in (403, 404)
