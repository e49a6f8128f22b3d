"""A new campaign from a template, from another campaign, and from a file of settings."""

from __future__ import annotations

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from annotation.campaign_templates import templates
from annotation.models import Campaign, Event
from annotation.services.settings import settings_of
from tests.factories import make_campaign, make_user

pytestmark = pytest.mark.django_db


def filled(page) -> dict:
    form = page.context["form"]
    values = {name: form[name].value() for name in form.fields}
    sent = {name: value for name, value in values.items() if value not in (None, False)}
    return {**sent, "kind": form.kind.name, "began_as": page.context["began_as"]}


@pytest.mark.parametrize("name", sorted(templates()))
def test_a_template_fills_the_form(client: Client, lead, name: str) -> None:
    make_campaign(lead=lead)
    client.force_login(lead)
    page = client.get(f"/campaigns/new/?template={name}")
    sent = filled(page)
    made = client.post("/campaigns/new/", {**sent, "name": "From a template"})
    assert made.status_code == 302, made.context["form"].errors
    campaign = Campaign.objects.get(name="From a template")
    settings, given = settings_of(campaign), templates()[name].settings
    assert {field: settings[field] for field in given if field != "options"} == {
        field: value for field, value in given.items() if field != "options"
    }
    assert given["options"].items() <= settings["options"].items()
    created = Event.objects.get(campaign=campaign, action="campaign.created")
    assert created.detail == {"began_as": templates()[name].label}


def test_a_campaign_is_copied_with_all_its_settings(client: Client, lead) -> None:
    campaign = make_campaign(
        "First", lead=lead, kind="principles", options={"principles": ["Kind: to people"]}, overlap=4
    )
    client.force_login(lead)
    page = client.get(f"/campaigns/new/?like={campaign.pk}")
    made = client.post("/campaigns/new/", filled(page))
    assert made.status_code == 302, made.context["form"].errors
    copy = Campaign.objects.get(name="Copy of First")
    assert settings_of(copy) == settings_of(campaign)


def test_a_stranger_copies_nothing(client: Client, lead) -> None:
    campaign = make_campaign(lead=lead)
    other = make_user()
    make_campaign(lead=other)
    client.force_login(other)
    assert client.get(f"/campaigns/new/?like={campaign.pk}").status_code == 404
    assert client.get(f"/campaigns/{campaign.pk}/settings.json").status_code == 404
    assert client.get("/campaigns/new/?like=99999999999999999999").status_code == 404


def test_settings_leave_as_a_file_and_come_back(client: Client, lead) -> None:
    campaign = make_campaign("First", lead=lead, kind="ratings", options={"attributes": ["Warmth"]})
    client.force_login(lead)
    file = client.get(f"/campaigns/{campaign.pk}/settings.json")
    assert file.headers["Content-Disposition"].startswith("attachment")
    upload = SimpleUploadedFile("settings.json", file.content, content_type="application/json")
    page = client.post("/campaigns/from-file/", {"settings": upload})
    assert page.status_code == 200
    made = client.post("/campaigns/new/", {**filled(page), "name": "Second"})
    assert made.status_code == 302
    assert settings_of(Campaign.objects.get(name="Second")) == json.loads(file.content)


@pytest.mark.parametrize("content", [b"", b"no json", b'{"attune_campaign": 1, "options": {"colour": "red"}}'])
def test_a_file_that_does_not_fit_is_told(client: Client, lead, content: bytes) -> None:
    make_campaign(lead=lead)
    client.force_login(lead)
    upload = SimpleUploadedFile("settings.json", content, content_type="application/json")
    page = client.post("/campaigns/from-file/", {"settings": upload}, follow=True)
    assert page.status_code == 200
    assert list(page.context["messages"])
    assert client.post("/campaigns/from-file/", {}, follow=True).status_code == 200


def test_only_who_may_create_campaigns_gets_there(client: Client, annotator, stranger) -> None:
    make_campaign(annotators=[annotator])
    for person, told in ((annotator, 403), (stranger, 404)):
        client.force_login(person)
        assert client.post("/campaigns/from-file/", {}).status_code == told
        assert client.get("/campaigns/new/?template=helpfulness").status_code == told
