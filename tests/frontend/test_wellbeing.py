"""Unpleasant reading: told and asked first, covered until wanted, out at any time."""

from __future__ import annotations

import pytest
from django.test import Client

from annotation.models import Assignment, Campaign, Feedback, Membership
from annotation.services import campaigns
from tests.factories import make_campaign

pytestmark = pytest.mark.django_db
FRAGMENT = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def campaign(lead, annotator) -> Campaign:
    made = make_campaign("Hard reading", lead=lead, annotators=[annotator], tasks=4, guideline="Expect insults.")
    return campaigns.update(campaign=made, actor=lead, wellbeing="likely")


def at(campaign: Campaign) -> str:
    return f"/work/{campaign.pk}/"


@pytest.fixture
def browser(client: Client, annotator) -> Client:
    client.force_login(annotator)
    return client


def test_nobody_gets_an_item_before_they_were_asked(browser: Client, annotator, campaign) -> None:
    home = browser.get("/").content.decode()
    assert "Unpleasant texts are likely" in home
    for query in ("", "?ahead=1", "?look=1"):
        page = browser.get(f"/work/{campaign.pk}/{query}").content.decode()
        assert "You will most likely read unpleasant things here" in page
        assert "data-judge" not in page
    assert "Expect insults." in browser.get(f"/work/{campaign.pk}/").content.decode()
    assert not Assignment.objects.exists()

    assert browser.post(f"/work/{campaign.pk}/agree/").url == f"/work/{campaign.pk}/"
    page = browser.get(f"/work/{campaign.pk}/").content.decode()
    assert "data-judge" in page and "data-cover" in page and "Stop now" in page
    assert Membership.objects.get(campaign=campaign, user=annotator).agreed_at is not None


def test_one_who_does_not_want_to_leaves_and_nobody_asks(browser: Client, annotator, campaign) -> None:
    browser.post(f"/work/{campaign.pk}/agree/")
    browser.get(f"/work/{campaign.pk}/")
    held = Assignment.objects.get(user=annotator)
    page = browser.post(f"/work/{campaign.pk}/leave/", follow=True)
    assert "You have left Hard reading" in page.content.decode()
    assert not Membership.objects.filter(campaign=campaign, user=annotator).exists()
    held.refresh_from_db()
    assert held.state == Assignment.State.RELEASED
    assert held.task.seats == 1
    assert browser.get(f"/work/{campaign.pk}/").status_code == 404


def test_a_lead_who_judges_cannot_leave_that_way(client: Client, lead, campaign) -> None:
    client.force_login(lead)
    page = client.post(f"/work/{campaign.pk}/leave/", follow=True)
    assert "nothing to leave" in page.content.decode()
    assert Membership.objects.filter(campaign=campaign, user=lead).exists()


def test_stop_takes_one_away_at_once_and_keeps_what_was_typed(browser: Client, annotator, campaign) -> None:
    browser.post(f"/work/{campaign.pk}/agree/")
    browser.get(f"/work/{campaign.pk}/")
    browser.get(f"/work/{campaign.pk}/?ahead=1")
    first = Assignment.objects.order_by("slot")[0]
    browser.post(f"/work/{campaign.pk}/draft/", {"assignment": first.key, "draft": '{"comment": "so far"}'})
    assert browser.post(f"/work/{campaign.pk}/stop/").url == "/"
    assert set(Assignment.objects.values_list("state", flat=True)) == {"released"}
    browser.get(f"/work/{campaign.pk}/")
    first.refresh_from_db()
    assert (first.state, first.draft) == ("open", {"comment": "so far"})


def test_who_was_at_work_when_it_was_said_is_asked_next_and_loses_nothing(browser: Client, lead, annotator) -> None:
    campaign = make_campaign(lead=lead, annotators=[annotator], tasks=3)
    browser.get(f"/work/{campaign.pk}/")
    held = Assignment.objects.get(user=annotator)
    campaigns.update(campaign=campaign, actor=lead, wellbeing="possible")
    answer = browser.post(f"/work/{campaign.pk}/", {"assignment": held.key, "preference": "2"}, **FRAGMENT)
    assert answer.status_code == 200
    assert 'id="item"' in answer.content.decode() and "You may read unpleasant things here" in answer.content.decode()
    assert Feedback.objects.count() == 1


def test_what_is_still_covered_is_not_judged(browser: Client, lead, annotator, campaign) -> None:
    browser.post(f"/work/{campaign.pk}/agree/")
    browser.get(f"/work/{campaign.pk}/")
    held = Assignment.objects.get(user=annotator)
    said = {"assignment": held.key, "preference": "2", "comment": "Unseen."}
    for script in ({}, FRAGMENT):
        refused = browser.post(f"/work/{campaign.pk}/", said, **script)
        page = refused.content.decode()
        assert refused.status_code == 422 and "This is still covered" in page and "Unseen." in page
        assert "checked data-cover" not in page
    # What is wrong besides does not cover it again; nor is what was judged covered when it is corrected.
    wrong = browser.post(at(campaign), {"assignment": held.key, "opened": "yes"})
    assert "checked data-cover" in wrong.content.decode()
    assert browser.post(at(campaign), {**said, "opened": "yes"}).status_code == 302
    assert browser.post(at(campaign), {**said, "preference": "6", "client_key": "again"}).status_code == 302
    assert [one.version for one in Feedback.objects.order_by("pk")] == [1, 2]


def test_without_unpleasant_texts_nobody_is_asked(browser: Client, lead, annotator) -> None:
    campaign = make_campaign(lead=lead, annotators=[annotator], tasks=1)
    page = browser.get(f"/work/{campaign.pk}/").content.decode()
    assert "data-judge" in page and "data-cover" not in page and "Stop now" not in page


def test_rest_says_what_to_do(lead, annotator, campaign) -> None:
    from rest_framework.test import APIClient

    api = APIClient()
    api.force_authenticate(annotator)
    refused = api.post(f"/api/campaigns/{campaign.pk}/next/", {}, format="json")
    assert refused.status_code == 409
    assert "agree to it before you take an item" in refused.json()["detail"]
    assert api.post(f"/api/campaigns/{campaign.pk}/agree/").status_code == 204
    assert api.post(f"/api/campaigns/{campaign.pk}/next/", {}, format="json").status_code == 200
    assert api.post(f"/api/campaigns/{campaign.pk}/hand-back/").status_code == 204
    assert api.post(f"/api/campaigns/{campaign.pk}/leave/").status_code == 204
    assert api.post(f"/api/campaigns/{campaign.pk}/next/", {}, format="json").status_code == 404


def test_whom_to_turn_to_stands_wherever_one_may_stop(browser: Client, lead, campaign) -> None:
    campaigns.update(campaign=campaign, actor=lead, support="Ask **Mona**, or call 116 123.")
    words = "Ask <strong>Mona</strong>"
    assert words in browser.get(f"/work/{campaign.pk}/").content.decode()
    browser.post(f"/work/{campaign.pk}/agree/")
    assert words not in browser.get(f"/work/{campaign.pk}/").content.decode(), "no item is about this"
    stopped = browser.post(f"/work/{campaign.pk}/stop/", follow=True)
    assert stopped.redirect_chain == [(f"/work/{campaign.pk}/wellbeing/", 302)]
    assert words in stopped.content.decode() and "Stopped." in stopped.content.decode()
    campaigns.pause_campaign(campaign=campaign, actor=lead)
    assert words in browser.get(f"/work/{campaign.pk}/").content.decode()
