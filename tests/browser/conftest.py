"""A real Chromium against a real server. A page that logs an error or breaks the content policy fails its test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.cache import cache
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

from annotation.models import Campaign, User
from tests.factories import PASSWORD, make_user

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
SCREENS = {"desk": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}


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
    yield open_one
    for context in opened:
        context.close()
    assert faults == []


@pytest.fixture
def person(transactional_db) -> User:
    """Return somebody who can sign in by form."""
    return make_user("ann", password=PASSWORD)


@pytest.fixture
def sign_in() -> Callable[..., Page]:
    """Return a function that signs a person in by the form and returns the page they land on."""

    def by_form(context: BrowserContext, user: User, *, path: str = "/") -> Page:
        page = context.new_page()
        page.goto(f"/login/?next={path}")
        page.get_by_label("Username").fill(user.username)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(lambda url: "/login/" not in url)
        return page

    return by_form


@pytest.fixture
def work(open_context: Callable[..., BrowserContext], sign_in: Callable[..., Page], person: User):
    """Open a campaign's work screen as `person`, once it has all it loads; options are those of a context."""

    def open_work(campaign: Campaign, **options) -> Page:
        page = sign_in(open_context(**options), person, path=f"/work/{campaign.pk}/")
        page.wait_for_load_state("networkidle")
        return page

    return open_work
