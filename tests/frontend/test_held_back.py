"""A lead holds one person back: they are given nothing more, lose nothing they typed, and go on when they may."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from annotation.errors import Invalid, TooMany
from annotation.models import Assignment, Event, Membership
from annotation.permissions import campaign_for
from annotation.services import members, queue, setting_aside, submission
from tests.factories import judge, make_campaign, make_user

pytestmark = pytest.mark.django_db


def test_whom_the_lead_holds_back_is_given_nothing_until_they_may_again(lead, annotator) -> None:
    campaign = make_campaign(lead=lead, annotators=[annotator], tasks=4)
    of_lead, of_annotator = Client(), Client()
    of_lead.force_login(lead)
    of_annotator.force_login(annotator)
    judge(annotator, campaign)
    aside = queue.next_task(user=annotator, campaign=campaign)
    setting_aside.set_aside(assignment=aside, draft={"comment": "half a thought"})
    held = queue.next_task(user=annotator, campaign=campaign)
    people = reverse("campaign-people", args=[campaign.pk])
    body = {"action": "hold-back", "username": annotator.username}

    told = of_lead.post(people, body, follow=True).content.decode()
    assert "given nothing more for now" in told and "held back" in told and "Let judge again" in told
    held.refresh_from_db()
    assert held.state == Assignment.State.RELEASED, "somebody else may have it at once"
    page = of_annotator.get(reverse("work", args=[campaign.pk])).content.decode()
    assert "No more for you here just now" in page and "ask them why" in page and "data-start" not in page
    assert of_annotator.get("/").context["left"] == 0
    taken = of_annotator.post(f"/api/campaigns/{campaign.pk}/next/", {}, content_type="application/json")
    assert taken.status_code == 204
    with pytest.raises(TooMany, match="what you typed"):
        setting_aside.take_up(assignment=aside)
    # What was on the screen when it happened may still be sent, as after any lease that ended.
    submission.submit(assignment=held, data={"preference": "2"}, client_key="sent-late")

    page = of_lead.post(people, {**body, "action": "let-go-on"}, follow=True).content.decode()
    assert "may judge again" in page and "Hold back" in page
    seen = campaign_for(annotator, campaign.pk)
    assert queue.next_task(user=annotator, campaign=seen) is not None
    actions = Event.objects.filter(action__startswith="member.", target=annotator.username).order_by("id")
    assert [one.action for one in actions] == ["member.held_back", "member.let_go_on"]


def test_over_rest_and_only_whoever_judges(lead, annotator) -> None:
    engineer = make_user("engineer")
    campaign = make_campaign(lead=lead, annotators=[annotator], engineers=[engineer], tasks=1)
    client = Client()
    client.force_login(lead)
    address = f"/api/campaigns/{campaign.pk}/held-back/"
    body = {"username": annotator.username, "held_back": True}
    answer = client.post(address, body, content_type="application/json").json()
    assert {one["username"]: one["held_back"] for one in answer} == {annotator.username: True, lead.username: False}
    # Twice is once, and says so in the history once.
    client.post(address, body, content_type="application/json")
    assert Event.objects.filter(action="member.held_back").count() == 1
    with pytest.raises(Invalid, match="does not judge"):
        members.hold_back(campaign=campaign, username="engineer", held_back=True, actor=lead)
    assert Membership.objects.get(user=engineer).held_back_at is None
