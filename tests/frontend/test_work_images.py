"""Images on the work screen: with their addresses, size and words, blurred where people were warned."""

from __future__ import annotations

import json
import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from annotation.models import Assignment, Campaign, Image, Membership, User
from annotation.services.intake import import_lines
from tests.annotation.pictures import data_uri, picture
from tests.factories import make_campaign

pytestmark = pytest.mark.django_db

PROMPT = {
    "id": "a",
    "prompt": "What is <b>this</b>?",
    "image": data_uri(picture()),
    "completions": ["A wren.", "A tit."],
}
ANSWERS = {
    "id": "a",
    "prompt": "A bird",
    "completions": [{"image": data_uri(picture("red")), "alt": 'A "red" bird'}, {"image": data_uri(picture("blue"))}],
}


def world(annotator: User, *rows: dict, wellbeing: str = "none") -> tuple[Campaign, Client]:
    campaign = make_campaign(annotators=[annotator])
    assert import_lines(campaign=campaign, lines=[json.dumps(row) for row in rows], actor=None).errors == []
    Campaign.objects.filter(pk=campaign.pk).update(wellbeing=wellbeing)
    Membership.objects.filter(campaign=campaign).update(agreed_at=campaign.created_at)
    client = Client()
    client.force_login(annotator)
    return campaign, client


def page(client: Client, campaign: Campaign) -> str:
    response = client.get(reverse("work", args=[campaign.pk]))
    assert response.status_code == 200
    return response.content.decode()


def test_an_image_of_the_prompt_has_a_thumbnail_its_size_and_a_link(annotator: User) -> None:
    campaign, client = world(annotator, PROMPT)
    html = page(client, campaign)
    address = reverse("api-image", args=[campaign.pk, Image.objects.get().sha256])
    assert f'href="{address}"' in html
    assert f'src="{address}thumbnail/" width="64" height="48" alt="Image without a description"' in html
    assert "What is &lt;b&gt;this" in html
    assert "data-unblur" not in html and 'data-toggle="zoom"' not in html
    assert client.get(address).status_code == client.get(f"{address}thumbnail/").status_code == 200


def test_images_as_answers_have_equal_boxes_and_linked_zoom(annotator: User) -> None:
    campaign, client = world(annotator, ANSWERS)
    html = page(client, campaign)
    assert html.count("data-stage>") == 2 + 1  # and the one of the dialog
    assert 'data-toggle="zoom"' in html
    assert 'alt="A &quot;red&quot; bird"' in html
    hashes = set(re.findall(r'src="/api/campaigns/\d+/images/([0-9a-f]{64})/"', html))
    assert hashes == set(Image.objects.values_list("sha256", flat=True))


def test_they_are_blurred_where_people_were_warned(annotator: User) -> None:
    for wellbeing in ("possible", "likely"):
        campaign, client = world(annotator, ANSWERS, wellbeing=wellbeing)
        assert "data-unblur" in page(client, campaign)
    campaign, client = world(annotator, {**ANSWERS, "completions": ["One.", "Two."]}, wellbeing="possible")
    assert "data-unblur" not in page(client, campaign)


def test_no_statement_more_than_for_text(annotator: User) -> None:
    counts = []
    for row in ({"id": "a", "prompt": "A bird", "completions": ["One.", "Two."]}, PROMPT, ANSWERS):
        campaign, client = world(annotator, row)
        page(client, campaign)
        with CaptureQueriesContext(connection) as captured:
            page(client, campaign)
        counts.append(len(captured))
    assert len(set(counts)) == 1


def test_the_history_says_what_was_on_the_image(annotator: User) -> None:
    campaign, client = world(
        annotator,
        {
            **PROMPT,
            "prompt": [
                {
                    "role": "user",
                    "content": [{"type": "image", "image": data_uri(picture()), "alt": "A small brown bird"}],
                }
            ],
        },
    )
    html = page(client, campaign)
    sent = dict(re.findall(r'<input type="hidden" name="(assignment|client_key)" value="([^"]+)"', html))
    assert client.post(reverse("work", args=[campaign.pk]), {**sent, "preference": "2"}).status_code == 302
    assert "[A small brown bird]" in client.get(reverse("work-history", args=[campaign.pk])).content.decode()
    lead = Client()
    lead.force_login(campaign.created_by)
    assert "[A small brown bird]" in lead.get(reverse("campaign", args=[campaign.pk])).content.decode()


def test_the_preview_of_an_import_shows_small_images(annotator: User) -> None:
    campaign, _ = world(annotator)
    lead = Client()
    lead.force_login(campaign.created_by)
    address = reverse("campaign-import", args=[campaign.pk])
    response = lead.post(address, {"text": json.dumps(ANSWERS), "preview": "1"}, follow=True)
    html = response.content.decode()
    assert html.count('<img class="thumbnail" src="data:image/webp;base64,') == 2
    assert not Image.objects.exists()
    response = lead.post(response.redirect_chain[-1][0], {"import": "1"}, follow=True)
    assert "New items: 1." in response.content.decode()
    assert Image.objects.count() == 2


def test_the_preview_shows_what_is_asked_about_an_image(lead: User) -> None:
    make_campaign(lead=lead)
    client = Client()
    client.force_login(lead)
    asked = {"kind": "safety", "option-image_severity": "on", "option-regions": "Odd: looks wrong"}
    html = client.post("/campaigns/preview/", asked).content.decode()
    assert 'name="safe_image"' in html and 'name="safe_1"' in html
    assert '<option value="odd" title="looks wrong">1 Odd</option>' in html
    html = client.post("/campaigns/preview/", {**asked, "option-scope": "each_turn"}).content.decode()
    assert "safe_image" not in html and "data-regions" not in html, "turns of a dialogue have no images"


def test_regions_kept_as_a_draft_by_a_script_are_in_the_form(annotator: User) -> None:
    campaign, client = world(annotator, PROMPT)
    Campaign.objects.filter(pk=campaign.pk).update(options={**campaign.options, "regions": ["Odd"]})
    html = page(client, campaign)
    assert 'data-of="prompt" data-index="0"' in html and 'name="regions" value=""' in html
    marked = [{"of": "prompt", "index": 0, "box": [0, 0, 1, 1], "label": "odd"}]
    Assignment.objects.update(draft={"regions": marked})
    assert "&quot;label&quot;: &quot;odd&quot;" in page(client, campaign)
