"""The figures of a rewritten answer follow what is written, without holding anybody up."""

from __future__ import annotations

from playwright.sync_api import expect

from annotation.models import User
from tests.browser.looks import everywhere
from tests.browser.test_kinds import ANSWER, campaign_of


def test_the_figures_follow_what_is_written(work, person: User) -> None:
    page = work(campaign_of("rewrite", person, [ANSWER]))
    words = page.get_by_role("row", name="Words").get_by_role("cell")
    expect(words.first).to_have_text(words.last.inner_text())
    page.get_by_label("Better answer").fill("Use more yeast.")
    expect(words.last).to_have_text("3")
    expect(page.get_by_text("By Flesch and Kincaid")).to_be_visible()
    assert everywhere(page, "readability") == []
