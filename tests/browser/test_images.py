"""Images in a real Chromium: zoom and pan of two images together, all by keys, blurred until asked for."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, Route, expect

from annotation.models import Campaign, Feedback, Membership, User
from annotation.services.intake import import_lines
from tests.annotation.pictures import data_uri, picture
from tests.browser.looks import SCREENS, everywhere
from tests.browser.waiting import eventually
from tests.factories import make_campaign

WIDE = picture("steelblue", size=(900, 500))
HIGH = picture("darkgreen", size=(500, 800), kind="JPEG")
ASKED = {
    "prompt": [
        {
            "role": "user",
            "content": [
                {"type": "image", "image": data_uri(WIDE), "alt": "A blue field"},
                {"type": "text", "text": "Draw this again, higher."},
            ],
        }
    ],
    "completions": [
        {"image": data_uri(HIGH), "alt": "A green field"},
        {"image": data_uri(WIDE), "text": "Here it is."},
    ],
}


@pytest.fixture
def campaign(person: User) -> Campaign:
    campaign = make_campaign("Pictures", annotators=[person])
    rows = [{**ASKED, "id": f"q{number}"} for number in range(3)]
    assert import_lines(campaign=campaign, lines=list(map(json.dumps, rows)), actor=None).errors == []
    return campaign


@pytest.fixture
def page(open_context: Callable[..., BrowserContext], sign_in: Callable[..., Page], person: User, campaign) -> Page:
    return sign_in(open_context(), person, path=f"/work/{campaign.pk}/")


def stages(page: Page) -> list[Locator]:
    return page.locator("#item [data-answers] [data-stage]").all()


def transforms(page: Page) -> list[str]:
    return [stage.locator("img").evaluate("image => image.style.transform") for stage in stages(page)]


def test_both_images_are_there_in_equal_boxes(page: Page) -> None:
    page.wait_for_load_state("networkidle")
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    first, second = [stage.bounding_box() for stage in stages(page)]
    assert first and second
    assert (first["width"], first["height"], first["y"]) == (second["width"], second["height"], second["y"])
    assert page.evaluate("[...document.querySelectorAll('#item img')].every(i => i.width && i.height && i.alt)")


def test_text_appears_with_its_images_and_not_before(
    open_context, sign_in, person: User, campaign: Campaign, faults: list[str]
) -> None:
    context = open_context()
    sign_in(context, person, path="/")
    page = context.new_page()
    held: list[Route] = []
    page.route("**/images/**", lambda route: held.append(route))
    page.goto(f"/work/{campaign.pk}/", wait_until="domcontentloaded")
    text = page.get_by_text("Draw this again, higher.").first
    eventually(lambda: page.evaluate("document.documentElement.classList.contains('has-script')"))
    eventually(lambda: len(held) == 3, seconds=3)
    assert not text.is_visible()
    for route in held:
        route.continue_()
    expect(text).to_be_visible(timeout=2_000)
    page.unroute("**/images/**")
    page.route("**/images/**", lambda route: route.abort())
    page.reload()
    expect(text).to_be_visible(timeout=2_000)
    faults.clear()  # the images that could not be had


def test_zoom_is_linked_by_keys_and_comes_apart_when_told(page: Page) -> None:
    page.keyboard.press("+")
    assert transforms(page) == ["translate(0px, 0px) scale(1.5)"] * 2
    stage = stages(page)[1]
    stage.focus()
    page.keyboard.press("+")
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    first, second = transforms(page)
    assert "scale(3.375)" in first and "scale(3.375)" in second
    assert "translate(0px" not in second
    page.keyboard.press("0")
    assert transforms(page) == ["", ""]
    assert page.locator("input[name=preference]:checked").count() == 0  # 0 was the image's, not the verdict
    page.keyboard.press("z")
    page.keyboard.press("+")
    assert transforms(page) == ["", "translate(0px, 0px) scale(1.5)"]
    page.keyboard.press("-")
    assert transforms(page) == ["", ""]


def test_zoom_by_wheel_double_click_and_drag(page: Page) -> None:
    box = stages(page)[0].bounding_box()
    assert box
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.wheel(0, -400)
    page.wait_for_function("document.querySelector('[data-stage][data-zoomed]')")
    zoomed = transforms(page)
    page.mouse.down()
    page.mouse.move(middle[0] - 40, middle[1] - 30)
    page.mouse.up()
    assert transforms(page) != zoomed
    page.mouse.dblclick(*middle)
    assert transforms(page) == ["", ""]
    page.get_by_role("button", name="Zoom in").first.click()
    assert transforms(page) == ["translate(0px, 0px) scale(1.5)"] * 2


def test_an_image_of_the_prompt_opens_in_a_dialog_and_the_focus_comes_back(page: Page) -> None:
    link = page.get_by_role("link", name="A blue field")
    link.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Image, enlarged")
    expect(dialog).to_be_visible()
    page.keyboard.press("+")
    assert dialog.locator("img").evaluate("image => image.style.transform") == "translate(0px, 0px) scale(1.5)"
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(link).to_be_focused()
    assert transforms(page) == ["", ""]


def test_a_judgement_is_given_and_the_next_images_are_there_already(page: Page, person: User) -> None:
    page.wait_for_load_state("networkidle")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.locator("#progress-done")).to_have_text("1")
    eventually(lambda: Feedback.objects.filter(user=person).count() == 1)
    page.keyboard.press("+")
    assert transforms(page) == ["translate(0px, 0px) scale(1.5)"] * 2


def test_images_are_blurred_until_asked_for(page: Page, campaign: Campaign, person: User) -> None:
    Campaign.objects.filter(pk=campaign.pk).update(wellbeing="likely")
    Membership.objects.filter(user=person).update(agreed_at=campaign.created_at)
    page.reload()
    blurred = "getComputedStyle(document.querySelector('#item .picture img')).filter"
    asked = page.locator(".prompt .text__rendered")
    expect(asked).to_be_hidden()
    page.keyboard.press("v")
    expect(asked).to_be_visible()
    assert "blur" in page.evaluate(blurred)
    page.get_by_role("link", name="A blue field").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("v")
    assert page.evaluate(blurred) == "none"


def test_beside_two_images_the_beginning_of_the_text_and_the_bar_are_seen(page: Page) -> None:
    text = page.locator("#item .text__rendered").get_by_text("Here it is.").bounding_box()
    box = page.locator("#item [data-scroll]").first.bounding_box()
    submit = page.get_by_role("button", name="Submit").bounding_box()
    assert text and box and submit
    assert text["y"] + text["height"] <= box["y"] + box["height"], "nobody has to scroll to see that there is a text"
    assert submit["y"] + submit["height"] <= SCREENS["desk"]["height"]
    stage = stages(page)[0].bounding_box()
    assert stage and stage["height"] > 0.3 * SCREENS["desk"]["height"], "and the images have most of the rest"


def test_images_are_accessible_on_every_screen(page: Page) -> None:
    assert everywhere(page, "images") == []


def test_without_a_script_images_stand_there_and_open_in_a_tab(
    open_context, sign_in, person: User, campaign: Campaign
) -> None:
    page = sign_in(open_context(java_script_enabled=False), person, path=f"/work/{campaign.pk}/")
    assert len(stages(page)) == 2
    expect(page.get_by_role("button", name="Zoom in").first).to_be_hidden()
    address = page.get_by_role("link", name="A blue field").get_attribute("href")
    assert page.request.get(f"{address}").headers["content-type"] == "image/png"
