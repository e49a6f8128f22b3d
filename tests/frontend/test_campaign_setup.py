"""A new campaign from a template, from another campaign, and from a file of settings."""

from __future__ import annotations

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from annotation.campaign_templates import templates
from annotation.models import Campaign, Event, Image, Task
from annotation.services import gold as golds
from annotation.services import intake
from annotation.services.settings import settings_of, whole_of
from tests.annotation.pictures import data_uri, picture
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


def test_templates_are_offered_by_what_people_do_with_facts_and_screen_of_one(client: Client, lead) -> None:
    make_campaign(lead=lead)
    client.force_login(lead)
    whole = client.get("/campaigns/new/").content.decode()
    assert all(whole.count(f'name="template" value="{name}"') == 1 + (name == "helpfulness") for name in templates())
    part = client.get("/campaigns/new/?template=mm-rlhf", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part and "An image with a question and 2 to 8 answers" in part
    assert templates()["mm-rlhf"].source in part and "In which order do you prefer the answers?" in part


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
    assert whole_of(Campaign.objects.get(name="Second")) == json.loads(file.content)


@pytest.mark.parametrize("way", ["copy", "file"])
def test_gold_goes_along_with_its_images_unless_it_is_left_out(client: Client, lead, way: str) -> None:
    campaign = make_campaign("First", lead=lead, kind="pairwise", options={"question": "Which bird is right?"})
    shown = {"type": "image", "image": data_uri(picture()), "alt": "A wren"}
    right = {"answer": {"preference": "1"}, "tolerance": {"preference": 1}}
    rows = [
        {
            "id": "bird",
            "prompt": [{"role": "user", "content": [shown, {"type": "text", "text": "What is this?"}]}],
            "completions": [{"text": "A wren.", "origin": "m-1"}, {"text": "A robin.", "origin": "m-2"}],
            "gold": right,
            "suggestion": {"answer": {"preference": "2"}, "by": "judge-7b"},
            "requires": ["birds"],
            "about": ["animals"],
            "domain": "zoology",
            "meta": {"source": "walk"},
            "wanted": 2,
        },
        {"id": "plain", "prompt": "And this?", "completions": ["A tit.", "A rook."]},
    ]
    assert intake.import_lines(campaign=campaign, lines=map(json.dumps, rows), actor=lead).created == 2
    campaign.refresh_from_db()
    client.force_login(lead)
    if way == "copy":
        page = client.get(f"/campaigns/new/?like={campaign.pk}")
    else:
        file = client.get(f"/campaigns/{campaign.pk}/settings.json").content
        upload = SimpleUploadedFile("settings.json", file, content_type="application/json")
        page = client.post("/campaigns/from-file/", {"settings": upload})
    offered = page.context["gold"]
    hidden = {"gold_count": 1, "gold_token": offered.token, "gold_of": offered.of or ""}
    assert "With its 1 item that has a right answer" in page.content.decode()
    # A form that does not fit yet comes back with the offer.
    again = client.post("/campaigns/new/", {**filled(page), **hidden, "name": "", "with_gold": "1"})
    assert again.status_code == 422 and again.context["gold"].of == offered.of
    made = client.post("/campaigns/new/", {**filled(page), **hidden, "name": "With", "with_gold": "1"})
    assert made.status_code == 302, made.context["form"].errors
    (item,) = Task.objects.filter(campaign__name="With")
    (original,) = campaign.tasks.filter(external_id="bird")
    assert item.external_id == "bird" and item.meta == original.meta and item.wanted == 2
    assert golds.as_given(item.gold) == golds.as_given(original.gold) and item.prompt.domain == "zoology"
    assert item.campaign.tags == original.campaign.tags and item.tags == original.tags
    assert [part["type"] for part in item.content["messages"][0]["content"]] == ["image", "text"]
    assert Image.objects.filter(campaign=item.campaign).count() == 1
    without = client.post("/campaigns/new/", {**filled(page), **hidden, "name": "Without"})
    assert without.status_code == 302 and not Task.objects.filter(campaign__name="Without").exists()


def test_gold_that_does_not_fit_makes_no_campaign(client: Client, lead) -> None:
    make_campaign(lead=lead)
    client.force_login(lead)
    row = {"prompt": "Why?", "completions": ["a", "b"], "gold": {"answer": {"preference": "8"}}}
    body = {"name": "Strange", "gold": [row]}
    refused = client.post("/api/campaigns/", body, content_type="application/json")
    assert refused.status_code == 422 and "Item 1 of the gold" in refused.json()["errors"]["gold"][0]
    assert not Campaign.objects.filter(name="Strange").exists()
    row["gold"] = {"answer": {"preference": "7"}}
    made = client.post("/api/campaigns/", {**body, "gold": [row]}, content_type="application/json")
    assert made.status_code == 201 and Task.objects.get(campaign__name="Strange").gold
    # Of a file that was not kept, or is somebody else's, nothing can come along.
    sent = {**filled(client.get("/campaigns/new/?kind=pairwise")), "name": "Other", "with_gold": "1", "gold_token": "0"}
    told = client.post("/campaigns/new/", sent)
    assert told.status_code == 422 and "no longer here" in told.content.decode()


@pytest.mark.parametrize("posted", [" ", "gone", ""])
def test_a_kind_that_does_not_exist_costs_nothing_of_what_was_typed(client: Client, lead, posted: str) -> None:
    make_campaign(lead=lead)
    client.force_login(lead)
    path = "/campaigns/new/?kind=ratings"
    sent = {**filled(client.get(path)), "name": "", "kind": posted, "option-ask_if": "Nonsense that was typed"}
    told = client.post(path, sent)
    assert told.status_code == 422 and "Nonsense that was typed" in told.content.decode()


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
