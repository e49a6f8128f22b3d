"""One walk of images: a ZIP archive by the form, judged by keys with one region, exported, all in a real Chromium."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from annotation.campaign_templates import templates
from annotation.models import Campaign, Feedback, Image, Membership, Task, User
from annotation.services import campaigns
from annotation.services.intake import import_lines
from tests.annotation.pictures import data_uri, picture, zipped
from tests.browser.looks import everywhere
from tests.browser.waiting import eventually
from tests.factories import make_campaign


def press(page: Page, keys: str) -> None:
    for key in keys.split():
        page.keyboard.press(key)


def test_from_an_archive_to_an_export(open_context, sign_in, person: User) -> None:
    campaign = make_campaign("Birds", lead=person, options={"regions": ["Odd: looks wrong", "Right"]})
    row = {
        "id": "wren",
        "prompt": [
            {"role": "user", "content": [{"type": "image", "image": "asked.png"}, {"type": "text", "text": "Again?"}]}
        ],
        "completions": [{"image": "one.jpg", "alt": "red"}, {"image": "two.png", "alt": "blue"}],
    }
    files = {
        "set/rows.jsonl": json.dumps(row),
        "set/asked.png": picture("tan", size=(300, 200)),
        "set/one.jpg": picture("red", size=(400, 200), kind="JPEG"),
        "set/two.png": picture("blue", size=(200, 300)),
    }
    page = sign_in(open_context(), person, path=f"/campaigns/{campaign.pk}/import/")
    archive = {"name": "set.zip", "mimeType": "application/zip", "buffer": zipped(files)}
    page.get_by_label("A file").set_input_files(files=[archive])
    page.get_by_role("button", name="Look at it first").press("Enter")
    expect(page.get_by_role("article")).to_have_count(1)
    page.get_by_role("button", name="Import all").press("Enter")
    eventually(lambda: Task.objects.filter(campaign=campaign).count() == 1)
    assert Image.objects.filter(campaign=campaign).count() == 3

    page.goto(f"/work/{campaign.pk}/")
    page.wait_for_load_state("networkidle")
    page.locator("[data-answer] [data-stage]").first.focus()
    press(page, "m ArrowRight Shift+ArrowDown 1 Escape 2 Enter")
    eventually(lambda: Feedback.objects.filter(campaign=campaign).exists())

    said = page.request.get(f"/api/campaigns/{campaign.pk}/export/?view=pairs")
    (exported,) = map(json.loads, said.text().splitlines())
    (region,) = exported["regions"]
    # A is better, and A is the one in which something was marked.
    assert (region["column"], region["label"], exported["task"]) == ("chosen_images", "odd", "wren")
    image = exported[region["column"]][region["index"]]
    assert image["sha256"] == region["sha256"]
    left, top, width, height = region["pixels"]
    assert 0 < left < left + width < region["width"] and 0 < top < top + height < region["height"]
    shown = page.request.get(image["url"])
    assert shown.ok and shown.headers["content-type"].startswith("image/")
    assert [one["width"] for one in exported["images"]] == [300]


def campaign_from(name: str, person: User, answers: list[str]) -> Campaign:
    campaign = campaigns.create(name=name, actor=person, **templates()[name].settings)
    row = {"id": "a", "prompt": "What is this?", "image": data_uri(picture(size=(600, 400))), "completions": answers}
    assert import_lines(campaign=campaign, lines=[json.dumps(row)], actor=None).errors == []
    campaigns.open_campaign(campaign=campaign, actor=person)
    Membership.objects.filter(campaign=campaign, user=person).update(agreed_at=campaign.created_at)
    return campaign


def test_the_image_by_itself_and_then_the_answer(work, person: User) -> None:
    page = work(campaign_from("beavertails-v", person, ["It is a knife."]))
    press(page, "v")  # the item is covered, and its image blurred
    press(page, "v")
    answer = page.get_by_role("group", name="The answer", exact=True)
    expect(answer).to_be_hidden()
    press(page, "x")
    expect(answer).to_be_hidden()
    press(page, "/")
    page.keyboard.type("gore")
    press(page, "Enter 2")
    expect(answer).to_be_visible()
    answer.get_by_role("radio", name="Safe", exact=True).focus()
    press(page, "y Enter")
    eventually(lambda: Feedback.objects.filter(user=person).exists())
    payload = Feedback.objects.get(user=person).payload
    assert payload["image"] == {"safe": False, "harms": {"horror_and_gore": 2}}
    assert payload["labels"] == [{"safe": True, "harms": {}}]


def test_three_answers_rated_with_reasons_and_evidence_and_put_in_order(work, person: User) -> None:
    page = work(campaign_from("mm-rlhf", person, ["A wren.", "A tit.", "A tree."]))
    press(page, "v")
    page.wait_for_load_state("networkidle")  # a region is marked in a picture that is there
    press(page, "m 2")
    page.locator("[data-row]").first.get_by_role("radio").first.focus()
    for number in range(9):
        press(page, str(number % 4 + 1))  # the reason is due
        page.keyboard.type("Because it is so.")
        press(page, "Tab")
    press(page, "2")
    press(page, "1")
    press(page, "3")
    page.get_by_role("button", name="Submit").click()
    eventually(lambda: Feedback.objects.filter(user=person).exists())
    payload = Feedback.objects.get(user=person).payload
    assert sorted(payload["ranks"]) == [1, 2, 3]
    assert all(len(one) == 3 for one in [*payload["ratings"], *payload["reasons"]])
    assert [one["label"] for one in payload["regions"]["marked"]] == ["misread"]


@pytest.mark.parametrize(("name", "answers"), [("beavertails-v", 2), ("mm-rlhf", 4)])
def test_both_templates_are_accessible(work, person: User, name: str, answers: int) -> None:
    texts = ["It is a wren.", "A tit, by its colours.", "A tree.", "Nothing."][:answers]
    page = work(campaign_from(name, person, texts))
    press(page, "v")
    press(page, "v")
    press(page, "m 2" if name == "mm-rlhf" else "x")
    assert everywhere(page, name) == []
