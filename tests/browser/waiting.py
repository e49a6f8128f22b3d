"""What tests of the annotator's screen wait for, and read off it."""

from __future__ import annotations

import time
from collections.abc import Callable

from playwright.sync_api import Page

from annotation.models import Assignment, Feedback, User


def eventually(holds: Callable[[], bool], *, seconds: float = 10) -> None:
    """Wait for something the browser causes in the database."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "It did not come true in time."
        time.sleep(0.05)


def wait_for_the_item_ahead(page: Page, person: User) -> None:
    eventually(lambda: Assignment.objects.filter(user=person, state="open").count() == 2)
    page.wait_for_load_state("networkidle")


def shown_key(page: Page) -> str:
    return page.locator("#item").get_attribute("data-key-of-item") or ""


def judged(person: User) -> int:
    return Feedback.objects.filter(user=person, is_current=True).count()


def page_value(feedback: Feedback) -> str:
    """Return the judgement as it was chosen on the screen."""
    from annotation.feedback import kind

    return kind(feedback.kind).initial(feedback.payload, shown_order=feedback.shown_order)["preference"]
