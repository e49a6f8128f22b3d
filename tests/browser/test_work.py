"""The annotator's screen in a real Chromium: all by keys."""

from __future__ import annotations

import gzip

from django.conf import settings
from playwright.sync_api import Page, expect

from annotation.models import Assignment, Campaign, Feedback, User
from annotation.services import campaigns
from tests.browser.looks import SCREENS
from tests.browser.waiting import eventually, judged, page_value, shown_key
from tests.factories import make_campaign, make_task


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
