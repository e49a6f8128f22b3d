"""Unpleasant reading in a real Chromium: asked first, covered until wanted, out with one button."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from annotation.models import Assignment, User
from annotation.services import campaigns, members, queue
from tests.browser.looks import everywhere
from tests.browser.waiting import eventually
from tests.factories import make_campaign, make_user


@pytest.mark.parametrize("kind", ["pairwise", "dual"])
def test_items_are_covered_and_one_button_leads_away(
    open_context: Callable[..., BrowserContext],
    sign_in: Callable[..., Page],
    person: User,
    kind: str,
) -> None:
    lead = make_user()
    campaign = make_campaign("Hard reading", kind=kind, lead=lead, annotators=[person], tasks=5)
    campaigns.update(campaign=campaign, actor=lead, wellbeing="likely")
    page = sign_in(open_context(), person, path=f"/work/{campaign.pk}/")

    def look(name: str) -> None:
        assert everywhere(page, f"wellbeing-{kind}-{name}") == []

    expect(page.get_by_role("heading", name="You will most likely read unpleasant things here")).to_be_visible()
    look("asked")
    page.get_by_role("button", name="I have read this; begin").click()
    prompt = page.locator(".prompt__scroll").first
    expect(prompt).to_be_hidden()
    look("covered")
    if kind == "pairwise":  # nobody judges what they have not seen, and it does not count as read
        page.keyboard.press("2")
        page.keyboard.press("Enter")
        expect(page.get_by_text("This is still covered.")).to_be_visible()
        look("not opened")
        drafts = "Object.entries(localStorage).filter(([name]) => name.startsWith('attune:draft:'))"
        measures = page.evaluate(f"JSON.parse(JSON.parse({drafts}[0][1]).fields.behaviour)")
        assert measures["read"] == [0, 0]
    page.keyboard.press("v")
    expect(prompt).to_be_visible()
    expect(page.get_by_text("This is still covered.")).to_have_count(0)
    if kind == "pairwise":
        page.keyboard.press("Enter")
        expect(page.locator("#progress-done")).to_have_text("1")
        expect(page.locator(".prompt__scroll").first).to_be_hidden()  # the next one is covered again
    eventually(lambda: Assignment.objects.filter(user=person, state="open").count() == 2)
    page.keyboard.press("Shift+s")
    expect(page.get_by_text("Stopped.")).to_be_visible()
    assert not Assignment.objects.filter(user=person, state="open").exists()


def test_an_item_taken_while_stopping_goes_back_too(
    open_context: Callable[..., BrowserContext],
    sign_in: Callable[..., Page],
    person: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A slow server: it still stores the judgement when the person stops, and would take the next item after that."""
    lead = make_user()
    campaign = make_campaign("Hard reading", lead=lead, annotators=[person], tasks=5)
    campaigns.update(campaign=campaign, actor=lead, wellbeing="likely")
    members.agree(campaign=campaign, user=person)
    page = sign_in(open_context(), person, path=f"/work/{campaign.pk}/")
    eventually(lambda: Assignment.objects.filter(user=person, state="open").count() == 2)
    quick = queue.next_task

    def slow(**asked: Any) -> Assignment | None:
        time.sleep(1)
        return quick(**asked)

    monkeypatch.setattr(queue, "next_task", slow)
    page.keyboard.press("v")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Stop now").click()
    expect(page.get_by_text("Stopped.")).to_be_visible()
    time.sleep(1.2)  # what was under way ends
    assert Assignment.objects.filter(user=person, state="submitted").count() == 1
    assert not Assignment.objects.filter(user=person, state="open").exists()
