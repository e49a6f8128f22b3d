"""Setting an item aside in a real Chromium: by key, with what was typed, and back again."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import BrowserContext, Page, expect

from annotation.models import Assignment, User
from tests.browser.waiting import eventually, shown_key, wait_for_the_item_ahead
from tests.factories import make_campaign


def test_an_item_waits_with_what_was_typed(
    open_context: Callable[..., BrowserContext], sign_in: Callable[..., Page], person: User
) -> None:
    campaign = make_campaign("Helpfulness", annotators=[person], tasks=4)
    page = sign_in(open_context(), person, path=f"/work/{campaign.pk}/")
    wait_for_the_item_ahead(page, person)
    first = shown_key(page)
    page.keyboard.press("2")
    page.locator("#comment").fill("I am not sure yet")
    page.locator("#comment").press("Escape")
    page.keyboard.press("w")
    expect(page.locator("#item")).not_to_have_attribute("data-key-of-item", first)
    expect(page.locator("#pile")).to_contain_text("Set aside 1")
    assert Assignment.objects.get(key=first).state == "postponed"
    eventually(lambda: Assignment.objects.filter(user=person, state="open").count() == 2)
    page.locator("#pile").click()
    page.get_by_role("button", name="Judge it now").click()
    expect(page.locator("#item")).to_have_attribute("data-key-of-item", first)
    expect(page.locator("#comment")).to_have_value("I am not sure yet")
    expect(page.locator("#pile")).to_be_hidden()
    page.keyboard.press("Enter")
    eventually(lambda: Assignment.objects.get(key=first).state == "submitted")
