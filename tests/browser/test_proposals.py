"""A critique and its principles in a real Chromium: written, proposed, answered by single keys, found again."""

from __future__ import annotations

from playwright.sync_api import expect

from annotation.models import Assignment, Campaign, Feedback, Proposal, User
from tests.browser.looks import everywhere
from tests.browser.test_kinds import ANSWER, press, stored
from tests.browser.waiting import eventually
from tests.factories import make_campaign, make_task

CRITIQUE = (
    "The list is easy to follow and each step says what to look for. The last figure is wrong, though: two per cent of "
    "salt is what most bakers use."
)


def campaign_of(person: User, **options) -> Campaign:
    options = {"minimum_words": 20, **options}
    campaign = make_campaign("Critiques", kind="principled_critique", annotators=[person], options=options)
    for number in range(2):
        make_task(campaign, prompt=f"Why does my bread not rise? ({number})", completions=[ANSWER], number=number)
    return campaign


def test_a_critique_is_written_its_principles_confirmed_corrected_and_rejected(work, person: User) -> None:
    page = work(campaign_of(person, review=False))
    expect(page.locator("[data-slot]:visible")).to_have_count(0)
    press(page, "n")
    page.keyboard.type("Too short")
    expect(page.get_by_text("2 of at least 20 words")).to_be_visible()
    press(page, "Control+Enter")
    expect(page.get_by_text("Write at least 20 words")).to_be_visible()
    page.locator("#critique").fill(CRITIQUE)
    press(page, "Escape o")
    expect(page.locator("[data-slot]:visible")).to_have_count(2)
    expect(page.get_by_text("2 proposed by rules")).to_be_visible()
    expect(page.locator("[data-quoted-text] mark")).to_have_count(2)
    expect(page.locator(".quoted__active")).to_have_text(
        "The list is easy to follow and each step says what to look for"
    )
    assert page.locator("[data-slot] input:checked").count() == 0, "nothing is answered for anybody"
    press(page, "p")
    expect(page.locator(".quoted__active")).to_have_text("The last figure is wrong")
    press(page, "Enter")
    expect(page.get_by_text("Answer this too, or reject it.")).to_be_visible()
    assert not Feedback.objects.exists()
    press(page, "x +")
    page.keyboard.type("Gives figures that can be checked")
    press(page, "Escape y e")
    page.keyboard.type("two per cent of salt")
    press(page, "Escape Enter")
    said = stored(person)
    assert [(one["statement"], one["answer"], one["changed"]) for one in said["principles"]] == [
        ("Clear", "partly", True),
        ("Gives figures that can be checked", "yes", False),
    ]
    assert said["principles"][1]["evidence"]["text"] == "two per cent of salt"
    assert [one["statement"] for one in said["rejected"]] == ["Accuracy of information"]


def test_ones_own_is_taken_back_and_one_of_the_list_is_added_by_its_button(work, person: User) -> None:
    page = work(campaign_of(person))
    page.locator("#critique").fill(CRITIQUE)
    page.get_by_role("button", name="Concise").click()
    expect(page.locator("[data-slot]:visible")).to_have_count(1)
    press(page, "x")
    expect(page.locator("[data-slot]:visible")).to_have_count(0)


def test_a_passage_selected_in_the_critique_becomes_evidence(work, person: User) -> None:
    page = work(campaign_of(person))
    page.locator("#critique").fill("Wrong. " + CRITIQUE)
    page.get_by_role("button", name="Concise").click()
    page.locator("[data-quoted-text]").dblclick(position={"x": 20, "y": 14})
    expect(page.locator("[data-row][data-active] [data-quote]")).to_have_value("Wrong")


def test_a_page_that_was_lost_finds_what_was_proposed(work, person: User) -> None:
    page = work(campaign_of(person))
    page.locator("#critique").fill(CRITIQUE)
    press(page, "Escape o")
    expect(page.locator("[data-slot]:visible")).to_have_count(2)
    eventually(lambda: "principle_2_statement" in (Assignment.objects.get(state="open", slot=0).draft or {}))
    # As if the page had been closed before the answer came.
    page.evaluate("localStorage.clear()")
    Assignment.objects.filter(slot=0).update(draft={"critique": CRITIQUE})
    page.reload()
    expect(page.locator("[data-slot]:visible")).to_have_count(2)
    assert Proposal.objects.count() == 1


def test_anybody_can_use_it(work, person: User) -> None:
    page = work(campaign_of(person))
    page.locator("#critique").fill(CRITIQUE)
    page.get_by_role("button", name="Propose principles").click()
    expect(page.locator("[data-slot]:visible")).to_have_count(2)
    page.locator("[data-slot]:visible").first.get_by_role("radio", name="Yes").check()
    assert everywhere(page, "proposals") == []
