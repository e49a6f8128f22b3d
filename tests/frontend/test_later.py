"""The pile of items set aside: put there from the screen, listed, and taken up again."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from annotation.models import Assignment
from annotation.services import setting_aside
from tests.factories import judge, make_assignment, make_campaign

pytestmark = pytest.mark.django_db


@pytest.fixture
def campaign(lead, annotator):
    return make_campaign(lead=lead, annotators=[annotator], tasks=3)


@pytest.fixture
def page(client: Client, annotator) -> Client:
    client.force_login(annotator)
    return client


def put_aside(client: Client, campaign, assignment: Assignment, **headers: str):
    body = {"assignment": assignment.key, "preference": "2", "comment": "not sure yet", "client_key": "c"}
    return client.post(reverse("work-set-aside", args=[campaign.pk]), body, headers=headers)


def test_a_script_gets_the_next_item_and_the_count(page, campaign, annotator):
    held = make_assignment(annotator, campaign)
    answer = put_aside(page, campaign, held, **{"HX-Request": "true"})
    assert answer.status_code == 200
    assert held.key not in answer.content.decode()
    assert 'data-aside="1"' in answer.content.decode()
    held.refresh_from_db()
    assert held.draft["comment"] == "not sure yet"


def test_a_browser_without_scripts_finds_it_on_the_pile_and_takes_it_up(page, campaign, annotator):
    held = make_assignment(annotator, campaign)
    assert put_aside(page, campaign, held).status_code == 302
    work = page.get(reverse("work", args=[campaign.pk])).content.decode()
    assert 'id="pile"' in work and 'id="pile" hidden' not in work
    pile = page.get(reverse("work-pile", args=[campaign.pk])).content.decode()
    assert "not sure yet" in pile and "Judge it now" in pile
    assert "Set aside (1)" in page.get(reverse("work-history", args=[campaign.pk])).content.decode()
    answer = page.post(reverse("work-pile", args=[campaign.pk]), {"assignment": held.key, "action": "take-up"})
    assert answer.url == f"{reverse('work', args=[campaign.pk])}?item={held.key}"
    screen = page.get(answer.url).content.decode()
    assert held.key in screen and "not sure yet" in screen
    assert "You have set nothing aside" in page.get(reverse("work-pile", args=[campaign.pk])).content.decode()


def test_what_others_took_is_said_and_can_be_taken_off_the_list(page, campaign, annotator, lead):
    held = make_assignment(annotator, campaign)
    put_aside(page, campaign, held)
    judge(lead, campaign)
    pile = page.get(reverse("work-pile", args=[campaign.pk])).content.decode()
    assert "Other people have judged it meanwhile" in pile
    assert "not sure yet" in pile, "what was typed can still be read"
    assert "Judge it now" not in pile
    answer = page.post(
        reverse("work-pile", args=[campaign.pk]), {"assignment": held.key, "action": "take-up"}, follow=True
    )
    assert "What you typed is kept with it." in answer.content.decode()
    page.post(reverse("work-pile", args=[campaign.pk]), {"assignment": held.key, "action": "let-go"})
    held.refresh_from_db()
    assert held.state == Assignment.State.RELEASED
    assert held.draft, "let go is not thrown away"


def test_one_too_many_is_refused_with_a_sentence(page, campaign, annotator, monkeypatch):
    monkeypatch.setattr(setting_aside, "MOST", 0)
    answer = put_aside(page, campaign, make_assignment(annotator, campaign), **{"HX-Request": "true"})
    assert answer.status_code == 409
    assert "as many as one may here" in answer.content.decode()


def test_nobody_else_s_item_is_set_aside(page, campaign, lead):
    assert put_aside(page, campaign, make_assignment(lead, campaign)).status_code == 404
