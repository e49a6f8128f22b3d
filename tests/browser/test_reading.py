"""Reading on the annotator's screen: scrolling, differences, text as written, code and formulas."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from annotation.models import Assignment, Campaign, User
from tests.browser.waiting import eventually, shown_key
from tests.factories import make_campaign, make_task


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
