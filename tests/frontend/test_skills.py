"""A lead says what people can do, and sees which items wait for somebody who can."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from annotation.models import Membership
from tests.factories import make_campaign, make_task

pytestmark = pytest.mark.django_db


@pytest.fixture
def campaign(lead, annotator):
    return make_campaign(lead=lead, annotators=[annotator])


def test_skills_are_set_on_the_page_of_people(client: Client, campaign, lead, annotator):
    client.force_login(lead)
    make_task(campaign, requires=["lang:de"])
    page = reverse("campaign-people", args=[campaign.pk])
    assert "Items here need: lang:de." in client.get(page).content.decode()
    body = {"action": "skills", "username": "annotator", "skills": "lang:DE, law"}
    assert "annotator can do: lang:de, law." in client.post(page, body, follow=True).content.decode()
    assert Membership.objects.get(user=annotator).skills == ["lang:de", "law"]
    wrong = client.post(page, {**body, "skills": "a/b"}, follow=True).content.decode()
    assert "is no tag" in wrong
    assert Membership.objects.get(user=annotator).skills == ["lang:de", "law"]


def test_the_overview_says_what_waits_and_for_whom(client: Client, campaign, lead):
    client.force_login(lead)
    page = reverse("campaign", args=[campaign.pk])
    assert "Items that wait for somebody" not in client.get(page).content.decode()
    make_task(campaign, requires=["lang:de"])
    assert "1 item needs lang:de, and nobody here has all of that." in client.get(page).content.decode()


def test_more_people_per_item_than_may_judge_is_taken_and_told(client: Client, campaign, annotator, lead):
    client.force_login(lead)
    edit, page = reverse("campaign-edit", args=[campaign.pk]), reverse("campaign", args=[campaign.pk])
    form = client.get(edit).context["form"]
    body = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    told = "Each item is to be judged by 5 people, and 2 people may judge here: items will wait for the others."
    assert told not in client.get(page).content.decode()
    assert told in client.post(edit, body | {"overlap": 5}, follow=True).content.decode()
    assert told in client.get(page).content.decode()
    make_task(campaign)
    changed = client.post(reverse("campaign-overlap", args=[campaign.pk]), {"wanted": "5"}, follow=True)
    assert "1 item is to be judged by 5 people, and 2 people may judge here" in changed.content.decode()

    rest = APIClient()
    rest.force_authenticate(lead)
    address = f"/api/campaigns/{campaign.pk}/"
    (waits,) = rest.get(address).json()["warnings"]
    assert waits.startswith("1 item is to be judged by 5 people")
    fewer = rest.post(f"{address}overlap/", {"wanted": 2}, format="json").json()
    assert fewer["changed"] == 1 and [one[:24] for one in fewer["warnings"]] == ["Each item is to be judge"]
    assert rest.patch(address, {"overlap": 2}, format="json").json()["warnings"] == []
    rest.patch(address, {"overlap": 9}, format="json")
    rest.force_authenticate(annotator)
    assert rest.get(address).json()["warnings"] == [], "how many judge here is nothing for annotators"


def test_what_items_need_is_a_setting(client: Client, campaign, lead):
    client.force_login(lead)
    page = reverse("campaign-edit", args=[campaign.pk])
    form = client.get(page).context["form"]
    body = {name: form[name].value() for name in form.fields if form[name].value() is not None} | {
        "requires": "Lang:de"
    }
    assert client.post(page, body).status_code == 302
    campaign.refresh_from_db()
    assert campaign.requires == ["lang:de"]
    refused = client.post(page, body | {"requires": "a/b"})
    assert refused.status_code == 422 and "is no tag" in refused.content.decode()


def test_an_item_that_is_not_for_somebody_is_not_counted_as_their_work(client: Client, campaign, annotator):
    make_task(campaign, requires=["lang:de"])
    client.force_login(annotator)
    assert client.get(reverse("home")).context["left"] == 0
    assert "There is nothing to judge here yet" in client.get(reverse("work", args=[campaign.pk])).content.decode()
