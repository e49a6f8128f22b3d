"""A real Chromium against a real server. A page that logs an error or breaks the content policy fails its test."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.cache import cache
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

from annotation.models import Campaign, User
from tests.browser.looks import SCREENS
from tests.browser.waiting import wait_for_the_item_ahead
from tests.factories import PASSWORD, make_campaign, make_task, make_user
from training.services import presence

# The driver runs an event loop in this thread, and Django would refuse the tests' own queries because of it.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def driver() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def chromium(driver: Playwright) -> Iterator[Browser]:
    """Return a running Chromium: the system's if there is one, else the driver's own."""
    path = CHROMIUM if CHROMIUM.exists() else None
    browser = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
    yield browser
    browser.close()


@pytest.fixture
def faults() -> list[str]:
    """Return what went wrong in any page of this test; a test that breaks something on purpose clears it."""
    return []


@pytest.fixture
def open_context(chromium: Browser, live_server, faults: list[str]) -> Iterator[Callable[..., BrowserContext]]:
    """Return a function that opens a fresh browser profile; its arguments are those of `Browser.new_context`."""
    opened: list[BrowserContext] = []

    def open_one(**options) -> BrowserContext:
        options.setdefault("viewport", SCREENS["desk"])
        context = chromium.new_context(base_url=live_server.url, locale="en-GB", **options)
        context.set_default_timeout(10_000)
        context.on("console", lambda message: message.type == "error" and faults.append(message.text))
        context.on("weberror", lambda error: faults.append(str(error.error)))
        opened.append(context)
        return context

    cache.clear()  # sessions of the test before are cached in this process
    presence.note(node="test", queues=presence.NEEDED)
    yield open_one
    for context in opened:
        context.close()
    _answer_what_was_asked()
    assert faults == []


def _answer_what_was_asked() -> None:
    """Wait for the server: a page's last request would be in the way when the rows of its test are deleted."""
    for thread in threading.enumerate():
        if "process_request_thread" in thread.name:
            thread.join(timeout=5)


@pytest.fixture
def person(transactional_db, settings) -> User:
    """Return somebody who can sign in by form; their password is hashed in no time."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return make_user("ann", password=PASSWORD)


@pytest.fixture
def sign_in(live_server) -> Callable[..., Page]:
    """Return a function that signs a person in and returns the page they land on; the form itself: test_pages.py."""

    def by_session(context: BrowserContext, user: User, *, path: str = "/") -> Page:
        client = Client()
        client.force_login(user)
        session = client.cookies[settings.SESSION_COOKIE_NAME].value
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
        page = context.new_page()
        page.goto(path)
        return page

    return by_session


@pytest.fixture
def work(open_context: Callable[..., BrowserContext], sign_in: Callable[..., Page], person: User):
    """Open a campaign's work screen as `person`, once it has all it loads; options are those of a context."""

    def open_work(campaign: Campaign, **options) -> Page:
        page = sign_in(open_context(**options), person, path=f"/work/{campaign.pk}/")
        page.wait_for_load_state("networkidle")
        return page

    return open_work


@pytest.fixture
def campaign(person: User) -> Campaign:
    return make_campaign("Helpfulness", annotators=[person], tasks=12)


@pytest.fixture
def page(open_context: Callable[..., BrowserContext], sign_in: Callable[..., Page], person: User, campaign) -> Page:
    """Return the work screen with its first item, and the next one fetched."""
    page = sign_in(open_context(), person, path=f"/work/{campaign.pk}/")
    wait_for_the_item_ahead(page, person)
    return page


@pytest.fixture
def long_pair(person: User) -> Campaign:
    campaign = make_campaign("Long answers", annotators=[person])
    one = "\n\n".join(f"Paragraph {number} says **this** and that." for number in range(40))
    make_task(campaign, completions=(one, one.replace("that", "something else")))
    return campaign
