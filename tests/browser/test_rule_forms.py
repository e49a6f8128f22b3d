"""Rules are chosen by selects where there is a script; the text they make is what is sent, and what they read."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote_plus

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from annotation.models import Campaign
from tests.browser.looks import everywhere
from tests.factories import PASSWORD, make_campaign, make_user


@pytest.fixture
def form(open_context: Callable[..., BrowserContext], sign_in: Callable[..., Page], transactional_db):
    """Open the form of a new campaign of a kind, as somebody who leads one."""
    lead = make_user("lead", password=PASSWORD)
    make_campaign("Another", lead=lead)

    def opened(kind: str, **options) -> Page:
        page = sign_in(open_context(**options), lead, path=f"/campaigns/new/?kind={kind}")
        page.wait_for_load_state("networkidle")
        return page

    return opened


def previewed(page: Page, sent: str):
    """Wait for the preview of a form that says so: nothing is under way when the page is closed, or axe looks at it."""
    return page.expect_response(lambda response: sent in unquote_plus(response.request.post_data or ""))


def rules_of(page: Page, option: str):
    return page.locator(f".field:has([name=option-{option}]) .rules-form")


def test_a_rule_is_chosen_saved_and_shown_again(form) -> None:
    page = form("ratings")
    page.get_by_label("Name").fill("By selects")
    ask = rules_of(page, "ask_if")
    ask.get_by_role("button", name="Add a rule").click()
    ask.get_by_label("Question", exact=True).select_option("Complexity")
    ask.get_by_label("Question it depends on").select_option("Helpfulness")
    ask.get_by_label("3", exact=True).check()
    ask.get_by_label("4", exact=True).check()
    never = rules_of(page, "never_both")
    never.get_by_role("button", name="Add a rule").click()
    never.get_by_label("First question").select_option("Helpfulness")
    never.locator("[data-part=first]").get_by_label("4", exact=True).check()
    never.get_by_label("Second question").select_option("Correctness")
    never.locator("[data-part=second]").get_by_label("0", exact=True).check()
    expect(page.locator("[name=option-ask_if]")).to_have_value("Complexity if Helpfulness is 3 or 4")
    page.get_by_role("button", name="Create the draft").click()
    page.wait_for_url("**/import/")
    made = Campaign.objects.get(name="By selects")
    assert made.options["ask_if"] == ["Complexity if Helpfulness is 3 or 4"]
    assert made.options["never_both"] == ["Helpfulness is 4 and Correctness is 0"]
    page.goto(f"/campaigns/{made.pk}/edit/")
    ask = rules_of(page, "ask_if")
    expect(ask.get_by_label("Question", exact=True)).to_have_value("Complexity")
    expect(ask.get_by_role("checkbox", checked=True)).to_have_count(2)
    with previewed(page, "option-ask_if=&"):
        ask.get_by_role("button", name="Remove this rule").click()
    expect(page.locator("[name=option-ask_if]")).to_have_value("")


def test_lines_that_selects_cannot_show_stay_as_text_and_new_questions_can_be_chosen(form, faults: list[str]) -> None:
    page = form("principles")
    ask = rules_of(page, "ask_if")
    ask.locator("summary").click()
    page.locator("[name=option-ask_if]").fill("Clear if Beauty is high\nConcise if Clear is yes")
    expect(ask.get_by_text("cannot be shown here")).to_be_visible()
    expect(ask.locator(".rules-form__rule")).to_have_count(1)
    page.locator("[name=option-principles]").fill("Clear: at once\nBeauty: as it is\nConcise")
    page.locator("[name=option-principles]").blur()
    with previewed(page, "option-ask_if=Beauty if Clear"):
        ask.get_by_label("Question", exact=True).select_option("Beauty")
    expect(page.locator("[name=option-ask_if]")).to_have_value("Beauty if Clear is yes\nClear if Beauty is high")
    page.wait_for_load_state("networkidle")
    faults[:] = [fault for fault in faults if "htmx:" not in fault]  # a preview was overtaken by a later one


def test_principles_are_taken_from_a_list_and_out_again(form) -> None:
    page = form("principles")
    lines, runs = page.locator("[name=option-principles]"), page.get_by_role("button", name="Code runs as given")
    concise = page.get_by_role("button", name="Concise", exact=True)
    page.get_by_text("Choose from a list").click()
    expect(concise).to_have_attribute("aria-pressed", "true")
    concise.click()
    with previewed(page, "| for: code"):
        runs.click()
    expect(runs).to_have_attribute("aria-pressed", "true")
    expect(concise).to_have_attribute("aria-pressed", "false")
    value = lines.input_value()
    assert value.endswith("| for: code") and "Concise" not in value and "Suitable tone" in value
    expect(page.locator(".htmx-request, .htmx-swapping, .htmx-settling, .htmx-added")).to_have_count(0)
    assert everywhere(page, "offers") == []


def test_anybody_can_use_it(form) -> None:
    page = form("safety")
    needed = rules_of(page, "needed_if")
    needed.get_by_role("button", name="Add a rule").click()
    needed.get_by_label("Text", exact=True).select_option("Comment")
    needed.get_by_label("Question it depends on").select_option("Severity")
    with previewed(page, "option-needed_if=Comment if Severity is severe"):
        needed.get_by_label("severe").check()
    expect(page.locator(".htmx-request, .htmx-swapping, .htmx-settling, .htmx-added")).to_have_count(0)
    expect(page.locator("[name=option-needed_if]")).to_have_value("Comment if Severity is severe")
    assert everywhere(page, "rules") == []
