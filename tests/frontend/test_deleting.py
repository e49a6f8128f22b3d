"""A deleted campaign is gone for everybody on every way in, loses nothing, and comes back as it was."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotation.models import Assignment, Campaign, Event, Feedback, Role, User
from annotation.services import campaigns, invitations, queue
from tests.factories import judge, make_campaign, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def campaign(lead, annotator) -> Campaign:
    made = make_campaign("Old one", lead=lead, annotators=[annotator], tasks=2)
    judge(annotator, made)
    queue.next_task(user=annotator, campaign=made)
    return made


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_gone_for_everybody_and_back_as_it_was(campaign, lead, annotator) -> None:
    of_lead, of_annotator = client_of(lead), client_of(annotator)
    pages = [reverse(name, args=[campaign.pk]) for name in ("campaign", "campaign-edit", "work", "campaign-export")]
    invited = invitations.invite(campaign=campaign, role=Role.ANNOTATOR, actor=lead)
    refused = of_lead.post(reverse("campaign-delete", args=[campaign.pk]), follow=True).content.decode()
    assert "Close it first" in refused, "people may be at work on it"
    campaigns.close_campaign(campaign=campaign, actor=lead)
    assert "Delete the campaign" in of_lead.get(pages[0]).content.decode()

    told = of_lead.post(reverse("campaign-delete", args=[campaign.pk]), follow=True).content.decode()
    assert "Old one was deleted" in told and "Bring Old one back" in told and "card__target" not in told
    key = Assignment.objects.filter(user=annotator).latest("id").key
    for user in (lead, annotator, make_user(is_superuser=True)):
        client = client_of(user)
        assert [client.get(page).status_code for page in pages] == [404] * 4
        assert client.get("/api/campaigns/").json()["results"] == []
        assert client.get(f"/api/campaigns/{campaign.pk}/").status_code == 404
        assert client.post(f"/api/assignments/{key}/submit/", {}, content_type="application/json").status_code == 404
    assert "Old one" not in of_annotator.get("/").content.decode()
    assert invitations.find(invited.secret) is None
    assert Feedback.objects.count() == 1, "nothing is erased"

    assert of_annotator.post(reverse("campaign-restore", args=[campaign.pk])).status_code == 404
    back = of_lead.post(reverse("campaign-restore", args=[campaign.pk]), follow=True).content.decode()
    assert "is there again, as it was" in back
    assert [of_lead.get(page).status_code for page in pages] == [200] * 4
    campaign.refresh_from_db()
    assert (campaign.state, campaign.deleted_at) == ("closed", None)
    actions = Event.objects.filter(action__in=["campaign.deleted", "campaign.restored"]).order_by("id")
    assert [one.action for one in actions] == ["campaign.deleted", "campaign.restored"]


def test_after_thirty_days_only_an_admin_brings_it_back(campaign, lead) -> None:
    campaigns.close_campaign(campaign=campaign, actor=lead)
    assert client_of(lead).delete(f"/api/campaigns/{campaign.pk}/").status_code == 204
    address = f"/api/campaigns/{campaign.pk}/restore/"
    with time_machine.travel(timezone.now() + timedelta(days=31)):
        assert client_of(lead).post(address).status_code == 404
        assert client_of(make_user(is_superuser=True)).post(address).json()["name"] == "Old one"
