"""What a person does on a page before its picture is taken."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page

Act = Callable[[Page], None]


def nothing(page: Page) -> None:
    return


def _go(page: Page, do: Callable[[], None]) -> None:
    """Do what opens another page, and wait until that one is there."""
    with page.expect_navigation():
        do()
    page.wait_for_load_state("networkidle")


def uncover(page: Page) -> None:
    """Say yes to what is asked before the first item, and look at what is covered."""
    agree = page.locator("button[form=agree]")
    if agree.count():
        _go(page, agree.click)
    for cover in page.locator("[data-cover], [data-unblur]").all():
        cover.check(force=True)


def unfold(page: Page) -> None:
    page.evaluate("document.querySelectorAll('main details').forEach(one => one.open = true)")


def keys(*pressed: str) -> Act:
    """Return an act of these keys, one after another."""

    def press(page: Page) -> None:
        uncover(page)
        for key in pressed:
            page.keyboard.press(key)

    return press


def critique(page: Page) -> None:
    page.keyboard.press("n")
    page.keyboard.insert_text(
        "It answers what was asked in its first sentence, with an amount and a time of day, and says how to tell that "
        "the soil is dry. The second paragraph is simply wrong: ten litres is what a plant in a greenhouse takes, and "
        "it contradicts the first, which is the right one."
    )
    page.keyboard.press("Escape")
    page.keyboard.press("o")
    page.locator("[data-proposal], .question").first.wait_for()
    page.wait_for_timeout(1500)
    page.keyboard.press("y")


def spans(page: Page) -> None:
    """Write what is good and what is not, each with the passage of the answer it is about."""
    for number, text in enumerate(
        ("It names an amount, a time of day, and how to tell by hand.", "The second paragraph contradicts the first.")
    ):
        page.locator("[data-judge] .question--text > textarea").nth(number).click()
        page.keyboard.insert_text(text)
        page.keyboard.press("Escape")
        page.locator("[data-answer] p").nth(number).click(click_count=3)
    page.keyboard.press("j")
    page.keyboard.press("2")


def region(page: Page) -> None:
    uncover(page)
    stage = page.locator("[data-stage]").first
    box = stage.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] * 0.43, box["y"] + box["height"] * 0.2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + box["width"] * 0.16, y + box["height"] * 0.45, steps=4)
    page.mouse.up()
    page.keyboard.press("1")
    page.keyboard.press("Escape")


def rewrite(page: Page) -> None:
    page.locator("#text").fill(
        "Sourdough is flour and water that was left to ferment. If yours does not rise, it is mostly too cold: keep "
        "it at **25 °C** and wait until it has grown by half."
    )
    page.wait_for_timeout(1200)  # the readability is counted a moment after the last letter


def chat(page: Page) -> None:
    for words in ("The kitchen tap drips. What should I do?", "I have no spanner. What else can I use?"):
        page.locator("textarea").first.fill(words)
        page.keyboard.press("Control+Enter")
        page.locator("[data-judge], .segment").first.wait_for(timeout=60_000)
        if words.startswith("The"):
            page.keyboard.press("2")
            page.keyboard.press("Enter")
            page.get_by_label("Your next message").wait_for(timeout=60_000)
    page.keyboard.press("6")


def set_aside(page: Page) -> None:
    page.keyboard.press("1")
    page.keyboard.press("w")
    page.wait_for_timeout(1500)
    page.goto(page.url.split("?")[0].rstrip("/") + "/pile/")


def enlarge(page: Page) -> None:
    uncover(page)
    page.locator("[data-enlarge]").first.click()


def first_conflict(page: Page) -> None:
    _go(page, page.locator("[aria-labelledby=conflicts-title] a").first.click)
    page.keyboard.press("d")


def upload(page: Page) -> None:
    """Let the server show how it reads a file, before anything is imported."""
    row = '{"question": "How long does rice keep?", "good": "Four days, if it is cold.", "bad": "Long."}\n'
    page.locator("input[type=file]").first.set_input_files(
        {"name": "rice.jsonl", "mimeType": "application/jsonl", "buffer": (row * 3).encode()}
    )
    _go(page, page.locator("button[name=preview]").first.click)


def refused(page: Page) -> None:
    """Send a form as it stands, without the browser's own checks."""
    page.evaluate("document.querySelectorAll('form').forEach(one => one.noValidate = true)")
    page.locator(
        "main form[method=post] button[type=submit], main form[method=post] button.button--primary"
    ).last.click()
    page.wait_for_load_state("networkidle")


def wrong_password(page: Page) -> None:
    page.locator("[name=username]").fill("nobody")
    page.locator("[name=password]").fill("nothing at all")
    _go(page, lambda: page.keyboard.press("Enter"))


def send_link(page: Page) -> None:
    page.locator("[name=email]").fill("nobody@example.org")
    _go(page, lambda: page.keyboard.press("Enter"))


def begin_factor(page: Page) -> None:
    _go(page, page.locator("button[value=begin]").click)


def begin_trial(page: Page) -> None:
    begin = page.locator("button[value=begin]")
    if begin.count():
        _go(page, begin.click)


def answer_trial(page: Page) -> None:
    begin_trial(page)
    page.locator("main form [name=preference]").first.check(force=True)
    _go(page, page.locator("main form button.button--primary").last.click)


# What is seen of each kind once something was said.
JUDGED: dict[str, Act] = {
    "code": keys("1", "d"),
    "pairs": keys("6"),
    "safety": keys("x", "/", "c", "r", "u", "e", "l", "Enter", "2"),
    "dual": keys("2"),
    "ranking": keys("1", "4", "3", "2"),
    "critique": critique,
    "spans": spans,
    "principles": keys("y", "n", "p"),
    "ratings": keys("3", "4", "2"),
    "rewrite": rewrite,
    "turns": keys("y", ".", "x"),
    "regions": region,
    "pictures": keys("2"),
}
