"""A chat in a real Chromium with a real model in a real child process, and what keeps typed words from getting lost."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection
from playwright.sync_api import BrowserContext, Page, expect

from annotation.models import Campaign, Feedback, User
from tests.browser.looks import everywhere
from tests.factories import make_campaign
from tests.training.chat_world import answered, make_chat_loop, say, talk
from tests.training.workers import ROOT
from training.models import Chat, ChatTurn
from training.services import answering

LONG = 90_000  # milliseconds: a model is loaded in between


@pytest.fixture
def campaign(person: User) -> Campaign:
    return make_campaign("Talk to it", annotators=[person], guideline="# Rules\n\nBe fair.")


@pytest.fixture
def worker() -> Iterator[threading.Event]:
    """A worker of this process: answers every turn that waits, with a child of its own, while the test goes on."""
    over = threading.Event()

    def work() -> None:
        try:
            while not over.wait(0.1):
                for turn_id in ChatTurn.objects.filter(state="waiting").values_list("pk", flat=True):
                    answering.answer(turn_id)
        finally:
            answering.fall_silent()
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    yield over
    over.set()
    thread.join()


@pytest.fixture
def chat(open_context: Callable[..., BrowserContext], sign_in: Callable[..., Page], person: User, campaign: Campaign):
    """Open the chat as `person`; options are those of a context."""

    def open_chat(**options) -> Page:
        page = sign_in(open_context(**options), person, path=f"/work/{campaign.pk}/chat/")
        page.wait_for_load_state("networkidle")
        return page

    return open_chat


def test_two_turns_with_a_real_model_by_keyboard_alone(
    chat: Callable[..., Page], campaign: Campaign, worker: threading.Event, tmp_path: Path
) -> None:
    program = f"from training.core.tiny import save_tiny; save_tiny({str(tmp_path / 'tiny')!r})"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
    make_chat_loop(campaign, model=str(tmp_path / "tiny"), temperature=1.0, max_new_tokens=24)
    page = chat()
    expect(page.get_by_label("Your first message")).to_be_focused()
    page.keyboard.type("Hello, model.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#announcer")).to_have_text("Sent. The model is answering.")
    expect(page.locator("[data-judge]")).to_be_visible(timeout=LONG)
    expect(page.locator("#announcer")).to_have_text("Both answers are there. Choose.")
    turn = ChatTurn.objects.get()
    assert len({answer["text"] for answer in turn.answers}) == 2

    page.keyboard.press("2")
    page.keyboard.press("Enter")
    message = page.get_by_label("Your next message")
    expect(message).to_be_focused()
    assert Feedback.objects.get().payload["verdict"] == "prefer"
    page.keyboard.type("Say that again.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-judge]")).to_be_visible(timeout=LONG)
    page.keyboard.press("t")
    expect(page.get_by_text("Neither is better. Go on with")).to_be_visible()
    page.keyboard.press(".")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Your next message")).to_be_focused()
    second = ChatTurn.objects.get(number=2)
    assert second.chosen == second.shown_order[1]
    assert Feedback.objects.count() == 2
    assert page.locator(".prompt__scroll .turn").count() == 4


def test_answers_grow_on_the_screen_together(chat: Callable[..., Page], campaign: Campaign, person: User) -> None:
    make_chat_loop(campaign)
    turn = say(campaign, person)
    page = chat()
    expect(page.get_by_text("Waiting for the model")).to_have_count(2)
    claimed = answering.claim(turn.pk, "w")
    assert claimed is not None
    expect(page.get_by_text("The model is being loaded")).to_be_visible()
    for length in (3, 9):
        answering.show(claimed, ["First words"[:length], "Other words"[:length]])
        for text in ("First words"[:length], "Other words"[:length]):
            expect(page.locator(".answer .text__rendered").get_by_text(text, exact=True)).to_be_visible()
    expect(page.locator("[data-judge]")).to_have_count(0)
    answering.accept(claimed, [{"text": "First words.", "ended": True}, {"text": "Other words.", "ended": True}])
    expect(page.locator("[data-judge]")).to_be_visible()
    expect(page.locator("#item-title")).to_be_focused()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.wait_for_timeout(1200)
    assert requests == [], "nothing is asked for once both answers are there"


def test_what_was_typed_survives_a_reload_a_lost_server_and_a_lost_session(
    chat: Callable[..., Page], campaign: Campaign, faults: list[str]
) -> None:
    make_chat_loop(campaign)
    page = chat()
    page.get_by_label("Your first message").fill("Half a tho")
    page.reload()
    message = page.get_by_label("Your first message")
    expect(message).to_have_value("Half a tho")

    page.context.set_offline(True)
    message.fill("Half a thought.")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("The server cannot be reached")).to_be_visible()
    expect(message).to_have_value("Half a thought.")
    assert not ChatTurn.objects.exists()

    cookies = page.context.cookies()
    page.context.clear_cookies()
    page.context.set_offline(False)
    expect(page.get_by_text("You have been signed out. Nothing is lost")).to_be_visible()
    page.context.add_cookies(cookies)  # signed in again in another tab
    page.evaluate("dispatchEvent(new Event('focus'))")
    expect(page.get_by_text("Waiting for the model").first).to_be_visible()
    assert ChatTurn.objects.get().message == "Half a thought."
    page.reload()
    assert page.evaluate("Object.keys(localStorage).filter((name) => name.includes(':chat:'))") == []
    expected = ("ERR_INTERNET_DISCONNECTED", "401", "403")  # no network, no session, no token
    faults[:] = [fault for fault in faults if not any(one in fault for one in expected)]


def test_a_choice_is_kept_too_and_a_double_click_is_one(
    chat: Callable[..., Page], campaign: Campaign, person: User
) -> None:
    make_chat_loop(campaign)
    answered(say(campaign, person))
    page = chat()
    page.keyboard.press("6")
    page.get_by_label("Comment").fill("why not")
    page.reload()
    expect(page.get_by_role("radio", name="B is better", exact=True)).to_be_checked()
    expect(page.get_by_label("Comment")).to_have_value("why not")
    page.get_by_role("button", name="Choose").dblclick()
    expect(page.get_by_label("Your next message")).to_be_visible()
    feedback = Feedback.objects.get()
    assert feedback.payload["comment"] == "why not"
    assert feedback.active_seconds is not None and feedback.behaviour["first_action_seconds"] is not None


def test_the_last_choice_is_taken_back_and_the_time_is_shown_as_on_every_screen(
    chat: Callable[..., Page], campaign: Campaign, person: User
) -> None:
    make_chat_loop(campaign)
    answered(say(campaign, person), "One.", "Two.")
    page = chat()
    for key in ("2", "5"):
        page.keyboard.press(key)
    page.keyboard.press("Control+z")
    expect(page.locator("input[name=preference][value='2']")).to_be_checked()
    expect(page.locator("#announcer")).to_have_text("Your last choice is taken back.")
    page.keyboard.press("Control+Shift+z")
    expect(page.locator("input[name=preference][value='5']")).to_be_checked()
    expect(page.locator("#timer")).to_be_hidden()
    page.keyboard.press("?")
    page.get_by_label("Show the time I am at work on an item").check()
    page.keyboard.press("Escape")
    expect(page.locator("#timer")).to_have_text(re.compile(r"^0:0\d$"))
    page.keyboard.press("Enter")
    expect(page.get_by_label("Your next message")).to_be_focused()
    feedback = Feedback.objects.get()
    assert feedback.active_seconds is not None and feedback.behaviour["changes"] >= 1


def test_nothing_is_chosen_by_accident(chat: Callable[..., Page], campaign: Campaign, person: User) -> None:
    make_chat_loop(campaign)
    answered(say(campaign, person))
    page = chat()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Choose one of these first.")).to_be_visible()
    assert not Feedback.objects.exists()
    page.get_by_role("button", name="End this chat").click()
    expect(page.get_by_label("Your first message")).to_be_focused()
    assert Chat.objects.get().state == "ended"


def test_every_state_of_a_chat_is_accessible(chat: Callable[..., Page], campaign: Campaign, person: User) -> None:
    make_chat_loop(campaign)
    page = chat()
    found: list[str] = []

    def look(state: str) -> None:
        page.goto(f"/work/{campaign.pk}/chat/")
        found.extend(everywhere(page, state))

    look("nothing said")
    turn = say(campaign, person, "How do I bake bread?")
    look("waiting")
    claimed = answering.claim(turn.pk, "w")
    assert claimed is not None
    answering.show(claimed, ["Mix flour", "Take a"])
    look("growing")
    answering.fail(claimed, "The model's process was ended by SIGKILL. Ask again.")
    look("failed")
    ChatTurn.objects.update(state="waiting")
    answered(turn, "Mix flour, water and salt.\n\n1. Knead\n2. Wait\n3. Bake", "Take a **loaf** from the shop.")
    look("answered")
    page.keyboard.press("t")
    found += everywhere(page, "a tie")
    page.keyboard.press("?")
    found += everywhere(page, "help")
    page.keyboard.press("Escape")
    Chat.objects.all().delete()
    talk(campaign, person, "One?", "Two?")
    look("going on")
    answered(say(campaign, person, "Three?"), "Same.", "Same.")
    look("the same twice")
    assert found == []


def test_the_scripts_of_the_page_weigh_little(chat: Callable[..., Page], campaign: Campaign) -> None:
    make_chat_loop(campaign)
    page = chat()
    sources = page.evaluate("performance.getEntriesByType('resource').map(r => r.name).filter(n => n.endsWith('.js'))")
    weight = sum(len(gzip.compress(page.request.get(source).body())) for source in sources)
    assert len(sources) >= 10
    assert weight < 45_000  # of which htmx is the greater part


def test_without_a_script_a_chat_is_held(open_context, sign_in, person: User, campaign: Campaign) -> None:
    make_chat_loop(campaign)
    page = sign_in(open_context(java_script_enabled=False), person, path=f"/work/{campaign.pk}/chat/")
    page.get_by_label("Your first message").fill("Hello?")
    page.get_by_role("button", name="Send").click()
    answered(ChatTurn.objects.get())
    page.get_by_role("link", name="Look whether the answers are there").click()
    page.get_by_role("radio", name="B is better", exact=True).check(force=True)
    page.get_by_role("button", name="Choose").click()
    expect(page.get_by_label("Your next message")).to_be_visible()
    assert Feedback.objects.count() == 1
