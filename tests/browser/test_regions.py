"""Regions of images in a real Chromium: marked by keys alone and by pointer, at any zoom, kept by drafts and undo."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from annotation.models import Campaign, Feedback, Membership, User
from annotation.services.intake import import_lines
from tests.annotation.pictures import data_uri, picture
from tests.browser.looks import everywhere
from tests.browser.waiting import eventually
from tests.factories import make_campaign

LABELS = ["Invented: an answer says it is here", "Misread: it is something else", "Left out"]
WIDE = data_uri(picture("steelblue", size=(800, 400)))
ASKED = {"prompt": "Which bird is this?", "image": WIDE, "completions": ["A wren, sitting on a twig.", "A tit."]}
DRAWN = {
    "prompt": "Draw a wren.",
    "completions": [
        {"image": data_uri(picture("darkgreen", size=(400, 300))), "text": "Here it is."},
        {"image": data_uri(picture("tan", size=(300, 400)))},
    ],
}


def campaign_of(person: User, row: dict[str, Any], *, kind: str = "pairwise", **options: Any) -> Campaign:
    campaign = make_campaign("Birds", kind=kind, annotators=[person], options={"regions": LABELS, **options})
    rows = [json.dumps({**row, "id": f"q{number}"}) for number in range(2)]
    assert import_lines(campaign=campaign, lines=rows, actor=None).errors == []
    return campaign


def regions_on(page: Page) -> Locator:
    return page.locator("#item .region")


def stored(person: User) -> list[dict[str, Any]]:
    eventually(lambda: Feedback.objects.filter(user=person).exists())
    return Feedback.objects.current().get(user=person).payload["regions"]["marked"]


def test_by_keys_alone(work, person: User) -> None:
    page = work(campaign_of(person, ASKED))
    page.keyboard.press("m")
    region = regions_on(page)
    expect(region).to_be_focused()
    expect(region).to_have_accessible_name("Region 1 in the prompt: no label yet")
    before = region.bounding_box()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "Shift+ArrowRight", "Shift+ArrowDown", "Shift+ArrowDown"):
        page.keyboard.press(key)
    after = region.bounding_box()
    assert before and after
    moved = [round(after[side] - before[side]) for side in ("x", "y", "width", "height")]
    assert moved == [16, 8, 8, 16]
    page.keyboard.press("2")
    expect(region).to_have_accessible_name("Region 1 in the prompt: Misread")
    assert page.locator("[name=preference]:checked").count() == 0  # the digit was the region's
    page.keyboard.press("m")
    expect(regions_on(page).nth(1)).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(regions_on(page).first).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Delete")
    expect(regions_on(page)).to_have_count(1)
    expect(regions_on(page)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Label of region 1 in the prompt")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.type("a twig")
    page.keyboard.press("Escape")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.locator("#progress-done")).to_have_text("1")
    (one,) = stored(person)
    assert (one["of"], one["label"], one["note"], one["width"]) == ("prompt", "misread", "a twig", 800)
    expect(regions_on(page)).to_have_count(0)  # the next item has none


def test_escape_leaves_a_region_for_its_image(work, person: User) -> None:
    page = work(campaign_of(person, DRAWN))
    stage = page.locator("[data-answer] [data-stage]").nth(1)
    stage.focus()
    page.keyboard.press("m")
    expect(stage.locator(".region")).to_be_focused()
    expect(page.locator("[data-answer]").first.locator(".region")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(stage).to_be_focused()


def test_a_region_stays_on_its_place_of_the_image_when_that_is_zoomed_and_moved(work, person: User) -> None:
    page = work(campaign_of(person, ASKED))
    page.keyboard.press("m")
    region = regions_on(page)
    before = region.bounding_box()
    page.keyboard.press("+")  # of the image the region lies in
    after = region.bounding_box()
    assert before and after
    assert after["width"] == pytest.approx(before["width"] * 1.5, abs=1)
    held = json.loads(page.locator("[name=regions]").input_value())
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowDown")
    panned = region.bounding_box()
    assert panned and panned["y"] < after["y"]
    assert json.loads(page.locator("[name=regions]").input_value()) == held


def test_by_pointer_drawn_moved_resized_and_deleted(work, person: User) -> None:
    page = work(campaign_of(person, ASKED))
    box = page.locator("[data-prompt] [data-stage]").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    drag(page, (x - 60, y - 40), (x + 40, y + 30))
    region = regions_on(page)
    drawn = region.bounding_box()
    assert drawn and (round(drawn["width"]), round(drawn["height"])) == (100, 70)
    drag(page, (x, y), (x + 10, y - 10))
    moved = region.bounding_box()
    assert moved and (round(moved["x"] - drawn["x"]), round(moved["y"] - drawn["y"])) == (10, -10)
    corner = (moved["x"] + moved["width"], moved["y"] + moved["height"])
    drag(page, corner, (corner[0] + 20, corner[1] + 5))
    sized = region.bounding_box()
    assert sized and (round(sized["width"]), round(sized["height"])) == (120, 75)
    drag(page, (x - 100, y - 60), (x - 98, y - 60))
    expect(region).to_have_count(1)  # that was a click
    page.get_by_label("Label of region 1 in the prompt").select_option("left_out")
    page.get_by_text("Place in per cent").click()
    page.get_by_label("Left", exact=True).fill("0")
    assert json.loads(page.locator("[name=regions]").input_value())[0]["box"][0] == 0
    page.get_by_role("button", name="Delete region 1 in the prompt").click()
    expect(region).to_have_count(0)


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=3)
    page.mouse.up()


def test_a_region_without_a_label_is_told_before_it_is_sent(work, person: User) -> None:
    page = work(campaign_of(person, ASKED))
    for key in ("m", "Escape", "2", "Enter"):
        page.keyboard.press(key)
    expect(page.get_by_text("Give each region a label.")).to_be_visible()
    expect(page.get_by_label("Label of region 1 in the prompt")).to_be_focused()
    assert not Feedback.objects.exists()


def test_regions_survive_a_reload_and_come_back_with_undo(work, person: User) -> None:
    page = work(campaign_of(person, DRAWN))
    for key in ("m", "1", "ArrowLeft", "Escape", "3"):
        page.keyboard.press(key)
    held = page.locator("[name=regions]").input_value()
    where = "region => [region.style.left, region.style.top, region.style.width, region.style.height]"
    placed = regions_on(page).evaluate(where)
    page.reload()
    expect(regions_on(page)).to_have_count(1)
    assert page.locator("[name=regions]").input_value() == held
    assert regions_on(page).evaluate(where) == placed
    page.keyboard.press("Enter")
    expect(page.locator("#progress-done")).to_have_text("1")
    assert len(stored(person)) == 1
    page.keyboard.press("u")
    expect(regions_on(page)).to_have_count(1)
    expect(regions_on(page)).to_have_accessible_name("Region 1 in answer A: Invented")
    page.keyboard.press("m")
    page.keyboard.press("2")
    page.get_by_role("button", name="Submit").click()
    eventually(lambda: Feedback.objects.filter(user=person, version=2).exists())
    assert [one["label"] for one in stored(person)] == ["invented", "misread"]


def test_an_image_that_is_blurred_is_asked_for_before_anything_is_marked(work, person: User) -> None:
    campaign = campaign_of(person, ASKED)
    Campaign.objects.filter(pk=campaign.pk).update(wellbeing="possible")
    Membership.objects.filter(user=person).update(agreed_at=campaign.created_at)
    page = work(campaign)
    box = page.locator("[data-prompt] [data-stage]").bounding_box()
    assert box
    drag(page, (box["x"] + 200, box["y"] + 50), (box["x"] + 300, box["y"] + 150))
    expect(regions_on(page)).to_have_count(0)
    page.keyboard.press("m")
    expect(page.locator("[data-unblur]")).to_be_checked()
    expect(regions_on(page)).to_be_focused()


def test_an_item_without_images_has_nothing_to_mark(work, person: User) -> None:
    page = work(campaign_of(person, {"prompt": "Why?", "completions": ["One.", "Two."]}))
    expect(page.locator("[data-regions]")).to_have_count(0)
    page.keyboard.press("m")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.locator("#progress-done")).to_have_text("1")


@pytest.mark.parametrize("row", [ASKED, DRAWN], ids=["prompt", "answers"])
def test_regions_are_accessible_on_every_screen(work, person: User, row: dict[str, Any]) -> None:
    kind = "ratings" if row is ASKED else "pairwise"
    page = work(campaign_of(person, row, kind=kind))
    page.keyboard.press("m")
    page.keyboard.press("2")
    page.keyboard.press("m")
    expect(page.get_by_role("button", name="Submit")).to_be_visible()
    assert everywhere(page, "regions-prompt" if row is ASKED else "regions-answers") == []
