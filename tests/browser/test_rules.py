"""A question that depends on another one shows when it is asked, and a broken rule is said beside the answer."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import BrowserContext, Page, expect

from annotation.models import Feedback, User
from tests.browser.waiting import eventually
from tests.factories import make_campaign, make_task


def test_a_question_shows_once_it_is_asked(
    open_context: Callable[..., BrowserContext], sign_in: Callable[..., Page], person: User, faults: list[str]
) -> None:
    options = {
        "attributes": ["Helpfulness", "Complexity"],
        "ask_if": ["Complexity if Helpfulness is 3 or 4"],
        "never_both": ["Helpfulness is 4 and Complexity is 0"],
    }
    campaign = make_campaign("Ratings", annotators=[person], kind="ratings", options=options)
    for _ in range(2):
        make_task(campaign, completions=["One answer."], origins=("a",))
    page = sign_in(open_context(), person, path=f"/work/{campaign.pk}/")
    asked = page.locator("[data-asked-if]")
    expect(asked).to_be_hidden()
    page.keyboard.press("4")
    expect(asked).to_be_visible()
    page.keyboard.press("Enter")
    assert Feedback.objects.count() == 0, "it is asked, so it must be answered"
    page.keyboard.press("0")
    page.keyboard.press("Enter")
    expect(page.get_by_text("never “Helpfulness is 4 and Complexity is 0”")).to_be_visible()
    assert "422" in faults.pop(), "the browser logs the refusal"
    page.keyboard.press("k")
    page.keyboard.press("1")
    expect(asked).to_be_hidden()
    page.locator("#item-title").evaluate("one => one.focus()")
    page.keyboard.press("Enter")
    eventually(lambda: Feedback.objects.count() == 1)
    assert Feedback.objects.get().payload["ratings"] == [{"helpfulness": 1}]
