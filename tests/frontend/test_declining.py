"""The pages of wellbeing: what one would rather not read, before the first item and later."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from annotation.models import Campaign, Membership
from annotation.services import campaigns
from annotation.services.settings import settings_from
from tests.factories import judge, make_campaign, make_task

pytestmark = pytest.mark.django_db


@pytest.fixture
def campaign(lead, annotator) -> Campaign:
    made = make_campaign(lead=lead, annotators=[annotator])
    make_task(made, about=["violence"])
    make_task(made, about=[])
    made.refresh_from_db()
    return campaigns.update(campaign=made, actor=lead, wellbeing="possible")


def test_it_is_asked_before_the_first_item(client: Client, campaign, annotator):
    client.force_login(annotator)
    warning = client.get(reverse("work", args=[campaign.pk])).content.decode()
    assert "I would rather not read about:" in warning and 'value="violence"' in warning
    body = {"asked": "1", "declined": ["violence"]}
    assert client.post(reverse("work-agree", args=[campaign.pk]), body).status_code == 302
    member = Membership.objects.get(user=annotator)
    assert (member.declined, member.agreed_at is not None) == (["violence"], True)
    wrong = client.post(reverse("work-agree", args=[campaign.pk]), {"asked": "1", "declined": ["law"]}, follow=True)
    assert "Items here are not about" in wrong.content.decode()


def test_it_can_be_changed_and_shows_what_was_judged(client: Client, campaign, annotator):
    client.force_login(annotator)
    judge(annotator, campaign)
    page = reverse("work-wellbeing", args=[campaign.pk])
    shown = client.get(page).content.decode()
    assert "What you have judged" in shown and "checked" not in shown
    answer = client.post(page, {"asked": "1", "declined": ["violence"]}, follow=True).content.decode()
    assert "Nobody else sees what you chose" in answer and "checked" in answer
    client.post(page, {"asked": "1"})
    assert Membership.objects.get(user=annotator).declined == []


def test_no_page_of_the_lead_tells_who_declined_what(client: Client, campaign, annotator, lead):
    Membership.objects.filter(user=annotator).update(declined=["violence"])
    judge(annotator, campaign)
    client.force_login(lead)
    for name in ("campaign", "campaign-people", "campaign-edit", "campaign-settings"):
        assert "declin" not in client.get(reverse(name, args=[campaign.pk])).content.decode().replace("may decline", "")
    overview = client.get(reverse("campaign", args=[campaign.pk])).content.decode()
    assert "What people had to read" in overview
    for path in ("skills", "exposure", "progress", "settings"):
        assert "declin" not in client.get(f"/api/campaigns/{campaign.pk}/{path}/").content.decode()


def test_a_rest_and_a_full_week_have_a_screen_of_their_own(client: Client, campaign, annotator, lead):
    client.force_login(annotator)
    Membership.objects.filter(user=annotator).update(agreed_at="2026-01-01T00:00Z")
    make_task(campaign, about=["violence"])
    campaign = campaigns.update(campaign=campaign, actor=lead, rest_after=1)
    for _ in range(2):
        judge(annotator, campaign)
    judge(annotator, campaigns.update(campaign=campaign, actor=lead, rest_after=0))
    make_task(campaign, about=["violence"])
    campaigns.update(campaign=campaign, actor=lead, rest_after=1)
    rest = client.get(reverse("work", args=[campaign.pk])).content.decode()
    assert "Time for a rest" in rest and 'data-available="0"' in rest
    campaigns.update(campaign=campaign, actor=lead, rest_after=0, weekly_limit=1)
    assert "That is enough for this week" in client.get(reverse("work", args=[campaign.pk])).content.decode()


def test_categories_and_rests_are_settings(client: Client, campaign, lead):
    client.force_login(lead)
    page = reverse("campaign-edit", args=[campaign.pk])
    form = client.get(page).context["form"]
    body = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    body |= {"about": "hate, violence", "rest_after": "5", "weekly_limit": "100", "cohort_percent": "10"}
    assert client.post(page, body).status_code == 302
    campaign.refresh_from_db()
    assert (campaign.about, campaign.rest_after, campaign.weekly_limit) == (["hate", "violence"], 5, 100)
    again = settings_from(client.get(reverse("campaign-settings", args=[campaign.pk])).content)
    assert campaigns.create(name="Again", actor=lead, **again).about == ["hate", "violence"]
