"""The figures of a rewritten answer follow what is written, without holding anybody up."""

from __future__ import annotations

import os

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from annotation.models import User
from tests.browser.conftest import SCREENS
from tests.browser.test_kinds import ANSWER, campaign_of


@pytest.mark.parametrize(("screen", "scheme"), [("desk", "light"), ("phone", "dark")])
def test_the_figures_follow_what_is_written(work, person: User, screen: str, scheme: str) -> None:
    page = work(campaign_of("rewrite", person, [ANSWER]), viewport=SCREENS[screen], color_scheme=scheme)
    words = page.get_by_role("row", name="Words").get_by_role("cell")
    expect(words.first).to_have_text(words.last.inner_text())
    page.get_by_label("Better answer").fill("Use more yeast.")
    expect(words.last).to_have_text("3")
    expect(page.get_by_text("By Flesch and Kincaid")).to_be_visible()
    if folder := os.environ.get("SHOTS"):
        page.locator("#readability").scroll_into_view_if_needed()
        page.screenshot(path=f"{folder}/readability-{screen}-{scheme}.png")
    violations = Axe().run(page).response["violations"]
    assert violations == [], [(one["id"], [node["html"] for node in one["nodes"]]) for one in violations]
