"""Dialogues in a real Chromium: their turns judged by keys alone, on a desk's and a phone's screen."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from annotation.models import Campaign, Feedback, User
from annotation.services import intake
from tests.browser.looks import everywhere
from tests.browser.test_kinds import ANSWER, OTHER, press, stored
from tests.factories import make_campaign

BREAD = [
    {"role": "user", "content": "My bread never rises properly. What am I doing wrong?"},
    {"role": "assistant", "content": ANSWER},
    {"role": "user", "content": "It foams, and the kitchen is warm. I put in two spoons of salt."},
    {"role": "assistant", "content": "How much flour do you use with it? A spoon of salt is about **18 g**."},
    {"role": "user", "content": "500 g."},
    {"role": "assistant", "content": "Then it is the salt: 36 g on 500 g is over seven per cent. Take 9 g.\n\n" * 6},
]
ELSE = [*BREAD[:1], {"role": "assistant", "content": OTHER}]


def campaign_of(kind: str, scope: str, person: User, **options) -> Campaign:
    campaign = make_campaign(f"{kind} {scope}", kind=kind, annotators=[person], options={"scope": scope, **options})
    row = {"dialogues": [BREAD, ELSE]} if kind == "pairwise" else {"messages": BREAD}
    rows = [{**row, "id": str(number), **({"turn": 2} if scope == "turn" else {})} for number in range(2)]
    report = intake.import_lines(campaign=campaign, lines=[json.dumps(one) for one in rows], actor=None)
    assert report.created == 2, report.errors
    return campaign


def active(page: Page) -> list[str]:
    """Return the titles of the turns that are marked, beside the questions and in the dialogue."""
    turn = page.locator("[data-turn][data-active] > h3").inner_text()
    said = page.locator("[data-answer][data-asked] h4").inner_text()
    return [turn.split("\n")[0], said]


def test_safety_of_each_turn_by_keys_alone(work, person: User) -> None:
    page = work(campaign_of("safety", "each_turn", person))
    count = page.locator("[data-turns-done]")
    expect(count).to_have_text("0 of 3 turns answered")
    press(page, "y")  # the next turn is marked by itself
    expect(count).to_have_text("1 of 3 turns answered")
    expect(page.locator("[data-turn][data-active] > h3")).to_contain_text("Turn 2")
    expect(page.locator("[data-answer][data-asked]")).to_contain_text("turn 2")
    press(page, "x / ")  # its categories come first
    expect(page.locator("[data-turn][data-active] > h3")).to_contain_text("Turn 2")
    page.keyboard.type("priv")
    press(page, "Enter 3 c")
    page.keyboard.type("It asks too much.")
    press(page, "Escape Enter")
    expect(page.get_by_text("Say whether it is safe.")).to_be_visible()  # the third turn is open
    assert not Feedback.objects.exists()
    expect(page.locator("[data-turn][data-active] > h3")).to_contain_text("Turn 3")
    press(page, ",")
    expect(page.locator("[data-turn][data-active] > h3")).to_contain_text("Turn 2")
    press(page, ". y")
    expect(count).to_have_text("3 of 3 turns answered")
    press(page, "Enter")
    said = stored(person)["turns"]
    assert [part["turn"] for part in said] == [1, 2, 3]
    assert [part["labels"][0]["harms"] for part in said] == [{}, {"privacy_violation": 3}, {}]
    assert [part["comment"] for part in said] == ["", "It asks too much.", ""]
    expect(page.locator("#progress-done")).to_have_text("1")
    expect(count).to_have_text("0 of 3 turns answered")  # of the next dialogue


def test_a_draft_of_turns_outlives_a_reload(work, person: User) -> None:
    page = work(campaign_of("ratings", "each_turn", person, attributes=["Helpfulness", "Tone"]))
    press(page, "3 4 1")
    page.reload()
    page.wait_for_load_state("networkidle")
    expect(page.locator("[data-turns-done]")).to_have_text("1 of 3 turns answered")
    expect(page.locator("[name=turn_2_helpfulness_1][value='1']")).to_be_checked()
    press(page, ". 2 . 0 1 Enter")
    said = stored(person)["turns"]
    assert [tuple(part["ratings"][0].values()) for part in said] == [(3, 4), (1, 2), (0, 1)]


def test_a_passage_becomes_the_evidence_of_its_own_turn(work, person: User) -> None:
    page = work(campaign_of("principles", "each_turn", person, principles=["Clear: plain words", "True: no mistake"]))
    page.locator("[data-answer='1'] strong").dblclick(position={"x": 4, "y": 8})
    expect(page.locator("[name=turn_1_evidence_clear_1]")).to_have_value("")
    press(page, "y y")
    page.locator("[data-answer='1'] strong").dblclick(position={"x": 4, "y": 8})
    expect(page.locator("[name=turn_2_evidence_clear_1]")).to_have_value("18")
    press(page, "n p y - Enter")
    said = stored(person)["turns"]
    assert [[one["answer"] for one in part["principles"][0].values()] for part in said] == [
        ["yes", "yes"],
        ["no", "partly"],
        ["yes", "na"],
    ]


def test_how_far_each_turn_was_read_is_measured(work, person: User) -> None:
    page = work(campaign_of("critique", "each_turn", person, minimum=1), viewport={"width": 1280, "height": 620})
    page.locator(".dialogue__scroll").evaluate("one => { one.scrollTop = one.scrollHeight; }")
    page.wait_for_timeout(200)
    for _ in range(3):
        press(page, "n")
        page.keyboard.type("So it is.")
        press(page, "Escape j j 3")  # and the first question of the next turn is marked
    press(page, "Enter Enter")  # once more to send what was read again
    stored(person)
    assert Feedback.objects.get(user=person).behaviour["read"] == [1, 1, 1]


SHOWN = [
    *[(kind, "each_turn") for kind in ("safety", "ratings", "principles", "critique")],
    ("ratings", "turn"),
    ("safety", "dialogue"),
    ("pairwise", "dialogue"),
]


@pytest.mark.parametrize(("kind", "scope"), SHOWN)
def test_dialogues_are_accessible_on_every_screen(work, person: User, kind: str, scope: str) -> None:
    page = work(campaign_of(kind, scope, person))
    if scope == "each_turn" and kind == "safety":
        press(page, "y x")
    expect(page.get_by_role("button", name="Submit")).to_be_visible()
    assert everywhere(page, f"{kind}-{scope}") == []
