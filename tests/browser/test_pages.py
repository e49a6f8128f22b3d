"""Every page of an annotator on both screens and in both themes: accessible by axe's rules, and nothing sticks out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from annotation.models import Campaign, User
from tests.browser.looks import ALL, OUTERMOST, SCREENS, everywhere, unfold
from tests.factories import PASSWORD, judge, make_campaign, make_task

EVERY = (*ALL, *OUTERMOST)


@pytest.fixture
def campaign(person: User) -> Campaign:
    campaign = make_campaign(
        "Helpfulness", annotators=[person], tasks=3, guideline="# Rules\n\nBe [fair](https://a.example)."
    )
    measured = {"first_action_seconds": 2, "changes": 1, "read": [1, 0.5], "typed": 5, "pasted": 0}
    judge(person, campaign, data={"preference": "2", "comment": "clear"}, behaviour=measured)
    make_task(
        campaign,
        priority=9,
        prompt="Show me a table.",
        completions=(
            "| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\n"
            + "x = 1  # a long line " * 20
            + "\n```\n\n[link](https://a.example)\n\nFor $x^2$:\n\n$$\n"
            + "\\frac{1}{2} + " * 40
            + "x\n$$\n",
            "# A title\n\n1. one\n2. two\n\n> said\n\n" + "unbroken" * 60,
        ),
    )
    make_campaign("Empty", annotators=[person])
    return campaign


def test_pages_are_accessible(
    open_context: Callable[..., BrowserContext],
    sign_in: Callable[..., Page],
    person: User,
    campaign: Campaign,
    faults: list[str],
) -> None:
    context = open_context()
    page = context.new_page()
    page.goto("/login/")
    found = everywhere(page, "login", looks=EVERY)
    page.get_by_label("Username").fill(person.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("/")
    work = f"/work/{campaign.pk}/"
    paths = ["/", "/profile/", work, f"{work}undo/", f"{work}history/", f"/work/{campaign.pk + 1}/", "/no/such/page/"]
    for path in paths:
        page.goto(path)
        unfold(page)
        found += everywhere(page, path, looks=EVERY)
    page.goto(work)
    for key in ("?", "g", "s"):
        page.keyboard.press(key)
        found += everywhere(page, f"dialog {key}", looks=EVERY)
        page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    page.keyboard.press("d")
    found += everywhere(page, "errors and differences", looks=EVERY)
    assert found == []
    faults[:] = [fault for fault in faults if "404" not in fault]  # asked for on purpose


def test_the_theme_is_chosen_and_kept(open_context: Callable[..., BrowserContext], sign_in, person: User) -> None:
    page = sign_in(open_context(color_scheme="light"), person, path="/profile/")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("radio", name="Dark").check()
    dark = page.evaluate(ground)
    assert dark != light
    page.goto("/")
    assert page.evaluate(ground) == dark
    page.get_by_role("button", name="Light or dark theme").click()
    assert page.evaluate(ground) == light
    page.goto("/profile/")
    expect(page.get_by_role("radio", name="Light")).to_be_checked()


def test_the_first_tab_stop_skips_to_the_content(open_context, sign_in, person: User) -> None:
    page = sign_in(open_context(), person)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_a_phone_shows_one_answer_at_a_time_when_asked(open_context, sign_in, person: User, campaign) -> None:
    page = sign_in(open_context(viewport=SCREENS["phone"], has_touch=True), person, path=f"/work/{campaign.pk}/")
    first, second = page.locator("[data-answer]").all()
    expect(first).to_be_visible()
    expect(second).to_be_attached()
    page.get_by_role("button", name="B", exact=True).tap()
    expect(first).to_be_hidden()
    expect(second).to_be_visible()
    page.keyboard.press("a")
    expect(first).to_be_visible()
    expect(second).to_be_hidden()
    page.keyboard.press("a")
    expect(second).to_be_visible()
    page.get_by_role("radio", name="B is better", exact=True).tap()
    page.get_by_role("button", name="Submit").tap()
    expect(page.locator("#progress-done")).to_have_text("2")


def test_a_phone_shows_a_wide_table_row_by_row_and_it_stays_a_table(open_context, sign_in, person, campaign) -> None:
    page = sign_in(open_context(viewport=SCREENS["phone"]), person, path=f"/work/{campaign.pk}/history/")
    said = page.get_by_role("table").get_by_role("row").get_by_role("cell", name="clear")
    expect(said).to_have_attribute("data-label", "You said")
    box = said.bounding_box()
    assert box is not None and box["width"] > 300
    expect(page.get_by_role("columnheader")).to_have_count(5)
    page.set_viewport_size(SCREENS["desk"])
    expect(page.locator(".is-stacked")).to_have_count(0)
