"""What the annotator's screen measures of a judgement: seconds, keys, changes, and how far answers were read."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from annotation.models import Campaign, Feedback, User
from tests.browser.looks import SCREENS
from tests.browser.waiting import eventually, wait_for_the_item_ahead


def measured(person: User, number: int) -> Feedback:
    """Return the judgement `number` of this person, once it is stored."""
    eventually(lambda: Feedback.objects.filter(user=person).count() >= number)
    return Feedback.objects.filter(user=person).order_by("id")[number - 1]


def how_far_read(page: Page, person: User) -> list[float]:
    """Judge the first item, and return which share of each answer was read, in the order in which they stood."""
    page.wait_for_timeout(200)
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    feedback = measured(person, 1)
    assert feedback.behaviour is not None
    return [feedback.behaviour["read"][position] for position in feedback.shown_order]


def test_active_seconds_of_one_item_are_not_counted_for_the_next(page: Page, person: User) -> None:
    page.wait_for_timeout(1500)
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    first = measured(person, 1)
    wait_for_the_item_ahead(page, person)
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    second = measured(person, 2)
    assert first.active_seconds is not None
    assert second.active_seconds is not None
    assert first.active_seconds > 1.4
    assert second.active_seconds < first.active_seconds


def test_the_first_key_the_changes_and_the_characters_are_measured(page: Page, person: User) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("navigator.clipboard.writeText('pasted text')")
    page.wait_for_timeout(800)
    for key in ("2", "2", "6", "6", "7"):
        page.keyboard.press(key)
    page.keyboard.press("c")
    page.keyboard.type("typed it")
    page.keyboard.press("Backspace")
    page.keyboard.press("Control+v")
    page.keyboard.press("Control+a")
    page.keyboard.type("x")
    expect(page.get_by_label("Comment")).to_have_value("x")
    page.keyboard.press("Control+Enter")
    found = measured(person, 1).behaviour
    assert found is not None
    assert 0.8 <= found["first_action_seconds"] < 10
    assert (found["changes"], found["typed"], found["pasted"]) == (2, 9, 11)
    assert found["read"] == [1, 1]
    page.keyboard.press("3")  # the next item starts from nothing
    page.keyboard.press("Enter")
    found = measured(person, 2).behaviour
    assert found is not None
    assert (found["changes"], found["typed"], found["pasted"]) == (0, 0, 0)


def test_measures_survive_a_reload(page: Page, person: User) -> None:
    for key in ("2", "6"):
        page.keyboard.press(key)
    page.reload()
    page.keyboard.press("7")
    page.wait_for_timeout(300)
    page.keyboard.press("Enter")
    found = measured(person, 1).behaviour
    assert found is not None
    assert found["changes"] == 2
    assert found["first_action_seconds"] < 3


@pytest.mark.parametrize("screen", SCREENS)
def test_how_far_each_answer_was_read_is_measured(
    open_context, sign_in, person: User, long_pair: Campaign, screen: str
) -> None:
    page = sign_in(open_context(viewport=SCREENS[screen]), person, path=f"/work/{long_pair.pk}/")
    page.wait_for_timeout(200)
    if screen == "desk":
        page.keyboard.press("l")
        page.locator("[data-answer='0'] [data-scroll]").evaluate("column => column.scrollTo(0, column.scrollHeight)")
    else:
        page.evaluate("document.querySelector('[data-answer=\"1\"]').scrollIntoView({block: 'end'})")
    first, second = how_far_read(page, person)
    assert first == 1
    if screen == "desk":
        assert 0.1 < second < 0.6
    else:
        assert second > 0.8


def test_on_a_phone_an_answer_that_was_never_reached_is_unread(
    open_context, sign_in, person: User, long_pair: Campaign
) -> None:
    page = sign_in(open_context(viewport=SCREENS["phone"]), person, path=f"/work/{long_pair.pk}/")
    first, second = how_far_read(page, person)
    assert 0 < first < 0.5
    assert second == 0
