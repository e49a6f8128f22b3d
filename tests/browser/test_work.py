"""The annotator's screen in a real Chromium: all by keys, and nothing is lost whatever fails."""

from __future__ import annotations

import gzip
import re
import time
from collections.abc import Callable

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.cache import cache
from playwright.sync_api import BrowserContext, Page, Route, expect

from annotation.models import Assignment, Campaign, Feedback, User
from annotation.services import campaigns
from tests.browser.looks import SCREENS
from tests.factories import PASSWORD, make_campaign, make_task


@pytest.fixture
def campaign(person: User) -> Campaign:
    return make_campaign("Helpfulness", annotators=[person], tasks=12)


@pytest.fixture
def page(open_context: Callable[..., BrowserContext], sign_in: Callable[..., Page], person: User, campaign) -> Page:
    """Return the work screen with its first item, and the next one fetched."""
    page = sign_in(open_context(), person, path=f"/work/{campaign.pk}/")
    wait_for_the_item_ahead(page, person)
    return page


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


def end_the_session() -> None:
    Session.objects.all().delete()
    cache.clear()


def test_ten_pairs_by_keys_alone(page: Page, person: User, campaign: Campaign) -> None:
    keys = ["1", "2", "3", "4", "5", "6", "7", "0", "9", "t"]
    seen = []
    for number, key in enumerate(keys, start=1):
        seen.append(shown_key(page))
        page.keyboard.press(key)
        page.keyboard.press("Enter")
        expect(page.locator("#progress-done")).to_have_text(str(number))
        expect(page.locator("#item")).not_to_have_attribute("data-key-of-item", seen[-1])
        eventually(lambda number=number: judged(person) == number)
    expect(page.locator("#saved")).to_have_text("All saved")
    assert len(set(seen)) == 10
    said = [page_value(one) for one in Feedback.objects.filter(user=person).order_by("id")]
    assert said == ["1", "2", "3", "4", "5", "6", "7", "both_bad", "both_good", "4"]
    assert all(one.active_seconds is not None for one in Feedback.objects.all())


def page_value(feedback: Feedback) -> str:
    """Return the judgement as it was chosen on the screen."""
    from annotation.feedback import kind

    return kind(feedback.kind).initial(feedback.payload, shown_order=feedback.shown_order)["preference"]


def test_the_next_item_is_there_before_the_server_has_answered(page: Page, person: User) -> None:
    with page.expect_response(lambda response: "ahead=1" in response.url) as fetched:  # when the browser has time
        page.reload()
    fetched.value.finished()
    # Its text is read and put aside in what follows, and no sooner is the browser idle; "networkidle" may be long past.
    page.evaluate("() => new Promise((done) => requestIdleCallback(() => setTimeout(done, 200)))")
    first = shown_key(page)
    # Held up in the page itself: what is held up on its way to the network now and then went through all the same.
    page.evaluate(
        """() => {
            const real = window.fetch;
            window.fetch = (url, asked) => asked?.method === "POST"
                ? new Promise((answer) => { window.letGo = () => answer(real(url, asked)); })
                : real(url, asked);
        }"""
    )
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.locator("#item")).not_to_have_attribute("data-key-of-item", first)
    expect(page.locator("#saved")).to_have_text("Sending…")
    assert judged(person) == 0
    page.evaluate("() => window.letGo()")
    expect(page.locator("#saved")).to_have_text("All saved")
    assert judged(person) == 1


def test_nothing_chosen_is_said_and_nothing_is_sent(page: Page, person: User) -> None:
    page.keyboard.press("Enter")
    expect(page.get_by_text("Choose one of these first.")).to_be_visible()
    assert judged(person) == 0
    page.keyboard.press("3")
    expect(page.get_by_text("Choose one of these first.")).to_be_hidden()


def test_keys_rest_while_one_types_and_backspace_does_nothing(page: Page, person: User) -> None:
    first = shown_key(page)
    page.keyboard.press("Backspace")
    page.keyboard.press("c")
    page.keyboard.type("1 s u g ? better 7")
    comment = page.get_by_label("Comment")
    expect(comment).to_have_value("1 s u g ? better 7")
    expect(page.locator("input[name=preference]:checked")).to_have_count(0)
    page.keyboard.press("Escape")
    page.keyboard.press("6")
    page.keyboard.press("n")
    expect(comment).to_be_focused()
    page.keyboard.press("Control+Enter")
    expect(page.locator("#item")).not_to_have_attribute("data-key-of-item", first)
    eventually(lambda: judged(person) == 1)
    assert Feedback.objects.get().payload["comment"] == "1 s u g ? better 7"


def test_a_double_click_stores_one_judgement(page: Page, person: User) -> None:
    page.keyboard.press("5")
    page.get_by_role("button", name="Submit").dblclick()
    eventually(lambda: judged(person) == 1)
    expect(page.locator("#saved")).to_have_text("All saved")
    assert Feedback.objects.count() == 1
    assert Assignment.objects.filter(state="submitted").count() == 1


def test_undo_opens_the_last_one_and_its_change_is_a_new_version(page: Page, person: User) -> None:
    first = shown_key(page)
    page.keyboard.press("1")
    page.keyboard.press("c")
    page.keyboard.type("too quick")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#item")).not_to_have_attribute("data-key-of-item", first)
    second = shown_key(page)
    page.keyboard.press("6")  # half done, and set aside by the undo
    page.keyboard.press("u")
    expect(page.locator("#item")).to_have_attribute("data-key-of-item", first)
    expect(page.locator("input[type=radio][value='1']")).to_be_checked()
    expect(page.get_by_label("Comment")).to_have_value("too quick")
    page.keyboard.press("7")
    page.keyboard.press("f")
    expect(page.get_by_role("checkbox", name="Flag")).to_be_checked()
    page.keyboard.press("Enter")
    expect(page.locator("#item")).to_have_attribute("data-key-of-item", second)
    expect(page.locator("input[value='6']")).to_be_checked()
    eventually(lambda: Feedback.objects.count() == 2)
    assert [page_value(one) for one in Feedback.objects.order_by("id")] == ["1", "7"]
    assert [one.flagged for one in Feedback.objects.order_by("id")] == [False, True]
    assert judged(person) == 1
    expect(page.locator("#progress-done")).to_have_text("1")


def test_skip_takes_a_digit_for_the_reason(page: Page, person: User) -> None:
    first = shown_key(page)
    page.keyboard.press("s")
    expect(page.get_by_role("dialog", name="Why skip this item?")).to_be_visible()
    page.get_by_label("A note for the lead").fill("cut off")
    page.keyboard.press("Enter")  # a new line in the note, not the first of the reasons
    page.keyboard.press("4")
    page.get_by_role("button", name="Something is broken or missing").focus()
    page.keyboard.press("4")
    expect(page.locator("#item")).not_to_have_attribute("data-key-of-item", first)
    eventually(lambda: Assignment.objects.filter(key=first, state="skipped", skip_reason="broken").exists())
    assert Assignment.objects.get(key=first).skip_note == "cut off\n4"
    expect(page.locator("input[name=preference]:checked")).to_have_count(0)


def test_the_dialogs_open_and_close_by_their_keys(page: Page) -> None:
    for key, name in (("g", "Guidelines"), ("?", "Keys")):
        page.keyboard.press(key)
        expect(page.get_by_role("dialog", name=name)).to_be_visible()
        page.keyboard.press("2")  # the item behind it does not hear keys
        page.keyboard.press(key)
        expect(page.get_by_role("dialog", name=name)).to_be_hidden()
    expect(page.locator("input[name=preference]:checked")).to_have_count(0)


def test_keys_can_be_switched_off(page: Page) -> None:
    page.keyboard.press("?")
    page.get_by_label("Single keys work").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("2")
    expect(page.locator("input[name=preference]:checked")).to_have_count(0)
    page.reload()
    page.keyboard.press("2")
    expect(page.locator("input[name=preference]:checked")).to_have_count(0)


# --- nothing is lost ------------------------------------------------------------------------------------------------


def test_a_server_cut_off_midway_loses_nothing(page: Page, person: User, faults: list[str]) -> None:
    first = shown_key(page)
    page.context.set_offline(True)
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.locator("#item")).not_to_have_attribute("data-key-of-item", first)
    second = shown_key(page)
    page.keyboard.press("6")
    page.keyboard.press("c")
    page.keyboard.type("judged in a tunnel")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Your answer is kept")).to_be_visible()
    expect(page.locator("#saved")).to_have_text("2 waiting to be sent")
    expect(page.locator("#notices")).to_contain_text("cannot be reached")
    assert judged(person) == 0
    page.context.set_offline(False)
    eventually(lambda: judged(person) == 2)
    expect(page.locator("#item[data-key-of-item]")).to_be_visible()
    expect(page.locator("#notices")).to_be_empty()
    expect(page.locator("#saved")).to_have_text("All saved")
    assert shown_key(page) not in {first, second}
    stored = {one.assignment.key: one for one in Feedback.objects.select_related("assignment")}
    assert page_value(stored[first]) == "2"
    assert stored[second].payload["comment"] == "judged in a tunnel"
    assert all("ERR_INTERNET_DISCONNECTED" in fault for fault in faults)
    faults.clear()


def test_a_page_closed_while_the_server_is_away_sends_when_it_opens_again(
    page: Page, person: User, faults: list[str]
) -> None:
    first = shown_key(page)
    page.context.set_offline(True)
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect(page.locator("#saved")).to_have_text("1 waiting to be sent")
    context = page.context
    page.close()
    context.set_offline(False)
    again = context.new_page()
    again.goto("/")
    eventually(lambda: judged(person) == 1)
    assert Feedback.objects.get().assignment.key == first
    faults.clear()


def test_an_answer_lost_on_its_way_back_is_sent_again_and_stored_once(
    page: Page, person: User, faults: list[str]
) -> None:
    def lose_the_answer(route: Route) -> None:
        if route.request.method == "POST":
            route.fetch()
            route.abort()
            page.unroute("**/work/*/")
        else:
            route.continue_()

    page.route("**/work/*/", lose_the_answer)
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.locator("#saved")).to_have_text("1 waiting to be sent")
    expect(page.locator("#saved")).to_have_text("All saved")
    assert judged(person) == 1
    assert Feedback.objects.count() == 1
    faults.clear()


def test_a_draft_survives_a_reload_and_reaches_the_server(page: Page, person: User) -> None:
    page.keyboard.press("5")
    page.keyboard.press("c")
    page.keyboard.type("half a thought")
    page.reload()
    expect(page.locator("input[value='5']")).to_be_checked()
    expect(page.get_by_label("Comment")).to_have_value("half a thought")
    page.get_by_label("Comment").press("End")
    page.keyboard.type(", and the rest")
    expect(page.locator("#saved")).to_have_text("Draft saved")
    draft = Assignment.objects.get(key=shown_key(page)).draft
    assert draft is not None
    assert (draft["preference"], draft["comment"]) == ("5", "half a thought, and the rest")
    page.evaluate("localStorage.clear()")
    page.evaluate("window.addEventListener('pagehide', () => localStorage.clear())")
    page.goto("/")
    page.evaluate("new Promise(done => { indexedDB.deleteDatabase('attune').onsuccess = done; })")
    page.go_back()
    expect(page.get_by_label("Comment")).to_have_value("half a thought, and the rest")


def test_what_is_too_large_for_the_first_storage_is_in_the_second(page: Page, person: User, faults: list[str]) -> None:
    """No room in localStorage and no way to the server: what was typed is in IndexedDB, and goes out after a reload."""
    fill = """() => { for (let size = 1e6; size >= 1; size /= 10) for (let n = 0; ; n += 1) {
        try { localStorage.setItem(`other:${size}:${n}`, "x".repeat(size)); } catch { break; } } }"""
    page.evaluate(fill)
    page.route("**/draft/", lambda route: route.abort())
    page.get_by_label("Comment").fill("word " * 300)
    expect(page.locator("#saved")).to_have_text("Draft kept")
    assert page.evaluate("!Object.values(localStorage).some(text => text.includes('word word'))")
    page.reload()
    expect(page.get_by_label("Comment")).to_have_value("word " * 300)
    page.route(re.compile(r"/work/\d+/$"), lambda route: route.abort())
    page.keyboard.press("Escape")
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect(page.locator("#saved")).to_have_text("1 waiting to be sent")
    page.unroute_all()
    page.reload()
    eventually(lambda: judged(person) == 1)
    assert Feedback.objects.get().payload["comment"] == ("word " * 300).strip()
    kept = """new Promise(done => { indexedDB.open('attune').onsuccess = ({ target }) => { target.result
        .transaction('kept').objectStore('kept').getAllKeys().onsuccess = (asked) => done(asked.target.result) } })"""
    eventually(lambda: not [name for name in page.evaluate(kept) if "outbox" in name])
    faults.clear()


def test_when_room_runs_out_what_the_server_has_goes_first(page: Page, person: User) -> None:
    """Drafts of old items fill the quota: those that are stored make room, one that is only here stays."""
    prefix = f"attune:draft:{person.pk}"
    fill = """prefix => {
        const keep = (name, at, stored, size) => localStorage.setItem(
            `${prefix}:${name}:0`, JSON.stringify({ fields: { comment: "x".repeat(size) }, at, stored }));
        const now = Date.now();
        keep("alone", now - 3000, false, 200000);
        for (let n = 0, size = 200000; n < 100; n += 1) {
            try { keep(n, now - 2000 + n, true, size); } catch { if (size < 1000) break; size /= 10; }
        }
        return Object.keys(localStorage).filter((name) => name.startsWith(prefix)).length;
    }"""
    before = page.evaluate(fill, prefix)
    assert before > 10
    page.get_by_label("Comment").fill("word " * 30_000)
    expect(page.locator("#saved")).to_have_text("Draft saved")
    kept = page.evaluate("prefix => Object.keys(localStorage).filter((name) => name.startsWith(prefix))", prefix)
    assert f"{prefix}:alone:0" in kept and f"{prefix}:0:0" not in kept and f"{prefix}:9:0" in kept
    assert page.evaluate("Object.values(localStorage).some((text) => text.includes('word word'))")


def test_an_expired_session_loses_nothing(page: Page, person: User, campaign: Campaign, faults: list[str]) -> None:
    first = shown_key(page)
    end_the_session()
    page.keyboard.press("2")
    page.keyboard.press("c")
    page.keyboard.type("typed for fifteen minutes")
    page.keyboard.press("Control+Enter")
    link = page.get_by_role("link", name="Sign in again")
    expect(link).to_be_visible()
    expect(page.locator("#saved")).to_have_text("Signed out")
    assert judged(person) == 0
    page.keyboard.press("Escape")
    page.keyboard.press("6")  # the next item can be judged meanwhile
    with page.context.expect_page() as opened:
        link.click()
    login = opened.value
    login.get_by_label("Username").fill(person.username)
    login.get_by_label("Password").fill(PASSWORD)
    login.get_by_role("button", name="Sign in").click()
    login.wait_for_url(f"**/work/{campaign.pk}/")
    eventually(lambda: judged(person) == 1)
    page.bring_to_front()
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    expect(link).to_be_hidden()
    stored = Feedback.objects.get()
    assert (stored.assignment.key, stored.payload["comment"]) == (first, "typed for fifteen minutes")
    expect(page.locator("input[value='6']")).to_be_checked()
    page.keyboard.press("Enter")
    eventually(lambda: judged(person) == 2)
    page.close()  # a draft that was on its way may find its item judged already, or the other tab's sign-in
    assert all("401" in fault or "409" in fault or "403" in fault for fault in faults)
    faults.clear()


def test_a_new_csrf_token_from_another_tab_is_picked_up(page: Page, person: User, faults: list[str]) -> None:
    page.context.clear_cookies(name="csrftoken")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    eventually(lambda: judged(person) == 1)
    expect(page.locator("#saved")).to_have_text("All saved")
    faults.clear()


def test_a_lost_lease_is_said_and_the_words_are_kept(page: Page, person: User, campaign: Campaign, faults) -> None:
    first = shown_key(page)
    campaigns.close_campaign(campaign=campaign, actor=campaign.created_by)
    page.keyboard.press("c")
    page.keyboard.type("too late")
    page.keyboard.press("Escape")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.locator("#notices")).to_contain_text("What you entered is kept")
    draft = Assignment.objects.get(key=first).draft
    assert draft is not None
    assert draft["comment"] == "too late"
    faults.clear()


# --- what is measured -----------------------------------------------------------------------------------------------


def measured(person: User, number: int) -> Feedback:
    """Return the judgement `number` of this person, once it is stored."""
    eventually(lambda: Feedback.objects.filter(user=person).count() >= number)
    return Feedback.objects.filter(user=person).order_by("id")[number - 1]


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
    page.wait_for_timeout(200)
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    feedback = measured(person, 1)
    assert feedback.behaviour is not None
    first, second = (feedback.behaviour["read"][position] for position in feedback.shown_order)
    assert first == 1
    if screen == "desk":
        assert 0.1 < second < 0.6
    else:
        assert second > 0.8


def test_on_a_phone_an_answer_that_was_never_reached_is_unread(
    open_context, sign_in, person: User, long_pair: Campaign
) -> None:
    page = sign_in(open_context(viewport=SCREENS["phone"]), person, path=f"/work/{long_pair.pk}/")
    page.wait_for_timeout(200)
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    feedback = measured(person, 1)
    assert feedback.behaviour is not None
    first, second = (feedback.behaviour["read"][position] for position in feedback.shown_order)
    assert 0 < first < 0.5
    assert second == 0


# --- reading --------------------------------------------------------------------------------------------------------


@pytest.fixture
def long_pair(person: User) -> Campaign:
    campaign = make_campaign("Long answers", annotators=[person])
    one = "\n\n".join(f"Paragraph {number} says **this** and that." for number in range(40))
    make_task(campaign, completions=(one, one.replace("that", "something else")))
    return campaign


def test_both_answers_scroll_together_until_told_not_to(open_context, sign_in, person: User, long_pair) -> None:
    page = sign_in(open_context(), person, path=f"/work/{long_pair.pk}/")
    left, right = page.locator("[data-scroll]").all()
    left.evaluate("column => column.scrollTo(0, column.scrollHeight)")
    eventually(lambda: right.evaluate("column => column.scrollTop") > 100)
    page.wait_for_timeout(200)
    page.keyboard.press("l")
    left.evaluate("column => column.scrollTo(0, 0)")
    page.wait_for_timeout(200)
    assert right.evaluate("column => column.scrollTop") > 100
    widths = [column.bounding_box()["width"] for column in (left, right)]
    assert widths[0] == pytest.approx(widths[1], abs=1)


def test_differences_and_raw_text_come_and_go(open_context, sign_in, person: User, long_pair) -> None:
    page = sign_in(open_context(), person, path=f"/work/{long_pair.pk}/")
    text = page.locator("[data-answers]").inner_text()
    page.keyboard.press("d")
    marks = page.locator(".text__rendered mark.differs")
    assert set(marks.all_inner_texts()) == {"that", "something else"}
    page.keyboard.press("d")
    expect(marks).to_have_count(0)
    assert page.locator("[data-answers]").inner_text() == text
    page.keyboard.press("r")
    expect(page.locator(".answer .text__raw").first).to_contain_text("says **this**")
    words = page.locator(".answer__length")
    expect(words.first).to_be_hidden()
    page.keyboard.press("h")
    assert [int(text.split()[0]) for text in words.all_inner_texts()] == [
        len(text.split()) for text in page.locator(".answer .text__raw").all_inner_texts()
    ]


CODE = "def f(a):\n    return a < 1 and '<b>'\n"
FORMULA = "\n\nSo $x^2$ is\n\n$$\n\\frac{1}{2} + \\sqrt{y}\n$$"


def test_in_one_column_tab_turns_the_answers_over_and_goes_on(open_context, sign_in, person: User, long_pair) -> None:
    page = sign_in(open_context(viewport={"width": 600, "height": 800}), person, path=f"/work/{long_pair.pk}/")
    page.wait_for_load_state("networkidle")
    a, b = page.locator("[data-answer='0']"), page.locator("[data-answer='1']")
    expect(b).to_be_visible()
    for key, shown, hidden in (("Tab", a, b), ("Tab", b, a), ("Shift+Tab", a, b), ("Tab", b, a)):
        page.keyboard.press(key)
        expect(shown.locator("[data-scroll]")).to_be_focused()
        expect(hidden).to_be_hidden()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('[data-judge]') !== null"), "nobody is caught"
    page.keyboard.press("Shift+Tab")
    expect(b.locator("[data-scroll]")).to_be_focused()


@pytest.fixture
def code_pair(person: User) -> Campaign:
    campaign = make_campaign("Code", annotators=[person])
    text = f"\n  Look:\n\n```python\n{CODE}```\n{FORMULA}\n"
    make_task(campaign, completions=(text, text.replace("return a", "return b").replace("{2}", "{3}")))
    return campaign


def test_code_is_copied_by_keys_as_it_was_written(open_context, sign_in, person: User, code_pair) -> None:
    context = open_context()
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = sign_in(context, person, path=f"/work/{code_pair.pk}/")
    expect(page.locator("pre .k").first).to_be_visible()
    for clipboard in ("there", "missing, as without TLS"):
        if clipboard != "there":
            page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
        page.keyboard.press("d")  # marks in the code are not copied, and the button is no word of the answer
        page.locator("[data-answer='0'] pre").first.focus()
        page.keyboard.press("Tab")
        expect(page.locator("[data-answer='0'] .code__copy")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#announcer")).to_have_text("Copied")
        expect(page.locator("[data-answer='0'] .code__copy")).to_have_text("Copied")
        page.get_by_label("Comment").focus()
        page.keyboard.press("Control+v")
        copied = page.get_by_label("Comment").input_value()
        assert copied.replace("return b", "return a") == CODE  # either answer may stand first
        page.get_by_label("Comment").fill("")
        page.keyboard.press("Escape")
        expect(page.locator("#announcer")).to_have_text("Copied")
        page.evaluate("document.querySelector('#announcer').textContent = ''")
    expect(page.locator("[data-answer='0'] .code__copy")).to_have_text("Copy code")
    expect(page.locator("[data-answer='0'] .code__copy")).to_have_count(1)


def test_formulas_are_drawn_and_raw_is_exactly_what_was_written(open_context, sign_in, person, code_pair) -> None:
    page = sign_in(open_context(), person, path=f"/work/{code_pair.pk}/")
    fraction = page.locator("[data-answer='0'] mfrac")
    above, below = (part.bounding_box() for part in fraction.locator("mn").all())
    assert above is not None
    assert below is not None
    assert above["y"] + above["height"] <= below["y"] + 1
    page.keyboard.press("r")
    expect(fraction).to_be_hidden()
    assignment = Assignment.objects.get(key=shown_key(page))
    texts = [assignment.task.content["completions"][place]["text"] for place in assignment.shown_order]
    assert page.locator("[data-answers] .text__raw").evaluate_all("all => all.map(one => one.textContent)") == texts


@pytest.fixture
def marked(open_context, sign_in, person: User) -> Callable[[str, str], list[str]]:
    """Return a function that shows two answers and returns the words marked in them, all in order of the alphabet."""

    def show(one: str, other: str) -> list[str]:
        campaign = make_campaign("Differences", annotators=[person])
        make_task(campaign, completions=(one, other))
        page = sign_in(open_context(), person, path=f"/work/{campaign.pk}/")
        page.keyboard.press("d")
        return sorted(page.locator(".text__rendered mark.differs").all_text_contents())

    return show


def test_differences_in_code_tables_and_formulas_are_marked(marked) -> None:
    one = (
        "```python\ndef f(a):\n    return a + 1\n```\n\n| x | y |\n|---|---|\n| 1 | 2 |\n\nand $\\frac{p}{q}$ it is so."
    )
    other = one.replace("+ 1", "- 1").replace("| 2 |", "| 3 |").replace("{q}", "{r}")
    assert marked(one, other) == ["+", "-", "2", "3", "q", "r"]


def test_a_lone_word_that_both_happen_to_have_is_no_common_part(marked) -> None:
    one = "It is so. Because the cat sleeps all day. This is how it ends."
    other = "It is so. Whenever my the dogs bark at night. This is how it ends."
    assert marked(one, other) == ["Because the cat sleeps all day", "Whenever my the dogs bark at night"]


def test_very_long_answers_are_compared_line_by_line(marked) -> None:
    lines = [f"Line {number} has these words in it and no others at all." for number in range(600)]
    other = [line if number % 300 else f"Other {line}" for number, line in enumerate(lines)]
    found = marked("\n".join(lines), "\n".join(other))
    assert found == sorted([*(lines[number] for number in (0, 300)), *(other[number] for number in (0, 300))])


def test_new_guidelines_are_announced(page: Page, campaign: Campaign) -> None:
    campaigns.write_guideline(campaign=campaign, text="Prefer **short** answers.", actor=campaign.created_by)
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Read").click()  # of the next item, which was fetched before they changed
    expect(page.get_by_role("dialog", name="Guidelines")).to_contain_text("Prefer short answers.")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Read")).to_have_count(0)
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    # Stored is what was there to be read, not what was in force when it arrived.
    versions = Feedback.objects.order_by("id").values_list("guideline_version", flat=True)
    eventually(lambda: list(versions.all()) == [1, 2])


def test_enter_sends_though_the_focus_is_still_in_a_drawer_that_has_just_closed(page: Page, person: User) -> None:
    page.evaluate(
        """() => {
          // In one task, as on a busy machine where no frame comes between two keys.
          const down = (key) => new KeyboardEvent("keydown", { key, bubbles: true });
          const press = (key) => document.activeElement.dispatchEvent(down(key));
          const drawer = document.getElementById("guidelines");
          drawer.showPopover();
          drawer.querySelector("[data-first]").focus();
          drawer.hidePopover();
          press("2");
          press("Enter");
        }"""
    )
    eventually(lambda: judged(person) == 1)


def test_new_items_appear_on_the_empty_screen(open_context, sign_in, person: User) -> None:
    campaign = make_campaign("Rounds", annotators=[person], tasks=1)
    page = sign_in(open_context(), person, path=f"/work/{campaign.pk}/")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.get_by_text("You have judged everything there is for you")).to_be_visible()
    make_task(campaign)
    expect(page.get_by_text("1 item waits for you.", exact=True)).to_be_visible(timeout=15_000)
    page.keyboard.press("Enter")
    expect(page.locator("[data-answers]")).to_be_visible()


def test_a_screen_reader_is_told_about_the_next_item(page: Page) -> None:
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.locator("#announcer")).to_have_text("Next item. 1 of 12 judged.")
    expect(page.locator("#item-title")).to_be_focused()


def test_without_a_script_the_screen_works(open_context, sign_in, person: User, campaign: Campaign) -> None:
    page = sign_in(open_context(java_script_enabled=False), person, path=f"/work/{campaign.pk}/")
    page.get_by_role("radio", name="B is better", exact=True).check(force=True)
    page.get_by_label("Comment").fill("no script")
    page.get_by_role("button", name="Submit").click()
    assert page_value(Feedback.objects.get()) == "6"
    page.get_by_role("button", name="Skip").click()
    page.get_by_role("button", name="Something else").click()
    assert Assignment.objects.filter(state="skipped").count() == 1


def test_on_a_phone_no_button_leaves_the_window_in_a_language_with_longer_words(
    open_context, sign_in, person: User, campaign: Campaign
) -> None:
    page = sign_in(open_context(viewport=SCREENS["phone"]), person, path=f"/work/{campaign.pk}/")
    page.context.add_cookies([{"name": settings.LANGUAGE_COOKIE_NAME, "value": "de", "url": page.url}])
    page.reload()
    buttons = page.locator(".judge__actions .button:visible")
    expect(buttons.filter(has_text="Letztes rückgängig")).to_be_visible()
    for box in (button.bounding_box() for button in buttons.all()):
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= SCREENS["phone"]["width"]


def test_the_scripts_of_the_page_weigh_little(page: Page) -> None:
    sources = page.evaluate("performance.getEntriesByType('resource').map(r => r.name).filter(n => n.endsWith('.js'))")
    weight = sum(len(gzip.compress(page.request.get(source).body())) for source in sources)
    assert len(sources) >= 10
    assert weight < 35_000  # of the 100 kB that the whole page may have
