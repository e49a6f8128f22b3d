"""The annotator's screen when the server, the line, the session or the lease is gone: nothing typed is lost."""

from __future__ import annotations

import re

from django.contrib.sessions.models import Session
from django.core.cache import cache
from playwright.sync_api import Page, expect

from annotation.models import Assignment, Campaign, Feedback, User
from annotation.services import campaigns
from tests.browser.waiting import eventually, judged, page_value, shown_key
from tests.factories import PASSWORD


def end_the_session() -> None:
    Session.objects.all().delete()
    cache.clear()


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
    # Cut off in the page itself: what is cut off on its way to the network now and then went through all the same.
    # The server stores the first and nobody hears so; after that nothing gets there until the line is back.
    page.evaluate(
        """() => {
            const real = window.fetch, { url } = document.getElementById("work").dataset;
            Object.assign(window, { sent: 0, isCut: true });
            window.fetch = async (to, asked) => {
                if (to !== url || asked?.method !== "POST") return real(to, asked);
                window.sent += 1;
                const answer = window.sent === 1 || !window.isCut ? await real(to, asked) : null;
                if (window.isCut) throw new TypeError("Failed to fetch");
                return answer;
            };
        }"""
    )
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.locator("#saved")).to_have_text("1 waiting to be sent", timeout=20_000)
    assert judged(person) == 1
    page.evaluate("() => { window.isCut = false; }")
    expect(page.locator("#saved")).to_have_text("All saved", timeout=20_000)
    assert page.evaluate("() => window.sent") >= 2
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
