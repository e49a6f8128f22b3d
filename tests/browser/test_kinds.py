"""Every kind of feedback in a real Chromium: one item judged by keys alone, and one by a phone's size of screen."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from annotation.models import Campaign, Feedback, User
from tests.browser.looks import everywhere
from tests.browser.waiting import eventually
from tests.factories import make_campaign, make_task

ANSWER = (
    "Most often it is the yeast. Check **three things**:\n\n1. *Is it alive?* Stir it into warm water with a little "
    "sugar; it should foam within ten minutes.\n2. *Is the room warm?* Around 25 °C, dough doubles in about an hour.\n"
    "3. *Is there too much salt?* More than two per cent of the flour slows it down."
)
OTHER = "Use more yeast, and let it rise for longer. A warm oven helps as well."
PROMPT = "My bread never rises properly. What am I doing wrong?"


def campaign_of(kind: str, person: User, answers: list[str], **options) -> Campaign:
    campaign = make_campaign(f"{kind} {len(answers)}", kind=kind, annotators=[person], options=options or None)
    for number in range(3):
        make_task(campaign, prompt=f"{PROMPT} ({number})", completions=answers, number=number)
    return campaign


def press(page: Page, keys: str) -> None:
    for key in keys.split():
        page.keyboard.press(key)


def stored(person: User) -> dict:
    eventually(lambda: Feedback.objects.filter(user=person).exists())
    return Feedback.objects.get(user=person).payload


def test_ratings_by_keys_go_from_question_to_question(work, person: User) -> None:
    page = work(campaign_of("ratings", person, [ANSWER]))
    press(page, "3 4 k k 2 4 1 2 Enter")  # going back and forth, the next open question is marked
    assert stored(person)["ratings"] == [
        {"helpfulness": 2, "correctness": 4, "coherence": 4, "complexity": 1, "verbosity": 2}
    ]
    expect(page.locator("#progress-done")).to_have_text("1")


def test_ratings_of_two_answers_that_are_not_complete_say_where(work, person: User) -> None:
    page = work(campaign_of("ratings", person, [ANSWER, OTHER]))
    press(page, "3 4 3 4 1 Enter")
    expect(page.get_by_text("Rate this too.").first).to_be_visible()
    assert not Feedback.objects.exists()
    press(page, "2 2 2 2 2 Enter")
    said = stored(person)["ratings"]
    assert {tuple(one.values()) for one in said} == {(3, 4, 3, 4, 1), (2, 2, 2, 2, 2)}


def test_safety_asks_for_categories_only_when_something_is_unsafe(work, person: User) -> None:
    page = work(campaign_of("safety", person, [ANSWER]))
    find = page.get_by_label("Find a category")
    expect(find).to_be_hidden()
    press(page, "x")
    expect(find).to_be_visible()
    press(page, "Enter")
    expect(page.get_by_text("at least one category")).to_be_visible()
    press(page, "/")
    expect(find).to_be_focused()
    page.keyboard.type("priv")
    expect(page.locator(".harm:not([hidden])")).to_have_count(1)
    press(page, "Enter 3 / ")
    page.keyboard.type("an")  # "and" is in many meanings; a name comes first
    press(page, "Enter 1 Enter")
    assert stored(person)["labels"] == [{"safe": False, "harms": {"privacy_violation": 3, "animal_abuse": 1}}]


def test_safe_takes_two_keys(work, person: User) -> None:
    page = work(campaign_of("safety", person, [ANSWER]))
    press(page, "y Enter")
    assert stored(person)["labels"] == [{"safe": True, "harms": {}}]


def test_principles_by_one_key_each_with_a_passage_that_was_selected(work, person: User) -> None:
    page = work(campaign_of("principles", person, [ANSWER]))
    # Selecting text while a principle is marked keeps it as evidence.
    page.locator("[data-answer] li").first.dblclick(position={"x": 6, "y": 8})
    expect(page.locator("[data-row][data-active] [data-evidence]")).to_have_value("Is")
    press(page, "y n p - y y y Enter")
    said = stored(person)["principles"][0]
    assert [one["answer"] for one in said.values()] == ["yes", "no", "partly", "na", "yes", "yes", "yes"]
    assert said["accuracy_of_information"]["evidence"] == "Is"
    assert not said["follows_every_instruction"]["evidence"]  # the text is still selected when the next one is marked


def test_answers_are_rated_and_flagged_while_they_are_ranked(work, person: User) -> None:
    asked = {"attributes": ["Helpfulness", "Tone"], "flags": ["Spam", "Wrong language"]}
    page = work(campaign_of("ranking", person, [ANSWER, OTHER], **asked))
    press(page, "3 4 0 0 1 2")  # two ratings of each, then their places; flags are walked past
    press(page, "k k 2 Control+z 2 Enter")
    said = stored(person)
    assert sorted(said["ranks"]) == [1, 2]
    by_rank = dict(zip(said["ranks"], zip(said["ratings"], said["flags"], strict=True), strict=True))
    assert by_rank[1][0] == {"helpfulness": 3, "tone": 4}
    assert by_rank[2][1] == {"spam": False, "wrong_language": True}


def test_choices_are_taken_back_one_by_one_and_given_again(work, person: User) -> None:
    page = work(campaign_of("ratings", person, [ANSWER]))
    chosen = page.locator("[data-judge] input:checked")
    press(page, "3 4 2")
    expect(chosen).to_have_count(3)
    press(page, "Control+z Control+z")
    expect(chosen).to_have_count(1)
    press(page, "Control+Shift+z")
    expect(chosen).to_have_count(2)
    press(page, "Control+z Control+z Control+z")
    expect(chosen).to_have_count(0)
    expect(page.locator("#announcer")).to_have_text("Your last choice is taken back.")
    # What is given again is marked, so that the keys go on from there.
    press(page, "Control+y k j 1 1 1 1 Enter")
    assert list(stored(person)["ratings"][0].values()) == [3, 1, 1, 1, 1]


def test_a_tick_is_kept_as_a_draft_and_so_is_its_absence(work, person: User) -> None:
    page = work(campaign_of("ranking", person, [ANSWER, OTHER], flags=["Spam", "Wrong language"]))
    spam = page.get_by_role("checkbox", name="Spam").first
    spam.check(force=True)
    expect(page.locator("#saved")).to_have_text("Draft saved")
    page.reload()
    expect(spam).to_be_checked()
    spam.uncheck(force=True)
    expect(page.locator("#saved")).to_have_text("Draft saved")
    page.reload()
    expect(spam).not_to_be_checked()


def test_a_critique_that_is_too_short_is_told_before_it_is_sent(work, person: User) -> None:
    page = work(campaign_of("critique", person, [ANSWER], starters=["+ It asks", "- It leaves out", "It says"]))
    good = page.get_by_label("What is good about it")
    expect(page.get_by_role("button", name="It leaves out")).to_have_count(1)  # among the weaknesses alone
    press(page, "j k 2")  # the second one of the marked text
    expect(good).to_have_value("It says ")
    good.fill("")
    press(page, "Escape 1")
    page.keyboard.type("the right things.")
    expect(good).to_have_value("It asks the right things.")
    press(page, "Control+Enter")
    expect(page.get_by_text("Write at least 40 characters")).to_be_visible()
    assert not Feedback.objects.exists()
    expect(page.get_by_label("What is not, and what should change")).to_be_focused()
    page.keyboard.type("It leaves out how long to knead the dough, and at which speed.")
    press(page, "Escape j 4 Enter")
    expect(page.get_by_role("dialog", name="Read it once more")).to_contain_text("how long to knead")
    press(page, "Escape")
    expect(page.get_by_role("dialog", name="Read it once more")).to_be_hidden()
    assert not Feedback.objects.exists(), "one may go on writing"
    press(page, "Enter Enter")
    assert stored(person)["critiques"][0]["score"] == 4
    assert "knead" in stored(person)["critiques"][0]["weaknesses"]


def test_passages_are_kept_with_what_is_written_about_them(work, person: User) -> None:
    page = work(campaign_of("critique", person, [ANSWER]))
    press(page, "n")
    page.keyboard.type("It starts with the question that matters most of all.")
    words = page.locator("[data-answer] li").first
    words.dblclick(position={"x": 6, "y": 8})
    expect(page.get_by_label("Passages, one per line").first).to_have_value("Is")
    words.dblclick(position={"x": 6, "y": 8})  # the same again is kept once
    page.locator("[data-answer] li").nth(2).dblclick(position={"x": 30, "y": 8})
    press(page, "j j 4 Enter Enter")  # once more to send what was read again
    said = stored(person)["critiques"][0]
    assert said["passages"] == {"strengths": ["Is", "there"]}


def test_of_two_comparisons_the_second_waits_for_the_first(work, person: User, faults: list[str]) -> None:
    page = work(campaign_of("dual", person, [ANSWER, OTHER]))
    safer = page.get_by_text("Which answer is safer")
    better = page.get_by_text("Which answer is more helpful")
    press(page, "y")
    expect(safer).to_be_hidden()
    press(page, "x / ")
    page.keyboard.type("violence")
    press(page, "Enter 2")
    expect(safer).to_be_visible()
    expect(better).to_be_hidden()
    page.locator("[name=safer][value='2']").check(force=True)
    expect(better).to_be_visible()
    page.locator("[name=better][value='2']").check(force=True)
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("A is called safe and B is not")).to_be_visible()
    faults.clear()  # the browser logs the 422
    expect(page.get_by_role("radio", name="Answer B").nth(1)).to_be_checked()  # what was chosen is still there
    page.locator("[name=safer][value='1']").check(force=True)
    page.get_by_role("button", name="Submit").click()
    said = stored(person)
    assert [one["safe"] for one in said["labels"]].count(False) == 1
    assert said["safer"] != said["better"]
    assert said["labels"][said["safer"]]["safe"]


def test_what_is_rewritten_shows_its_changes(work, person: User) -> None:
    page = work(campaign_of("rewrite", person, [OTHER]))
    expect(page.get_by_text("What you changed")).to_be_hidden()
    press(page, "n")
    field = page.get_by_label("Better answer, in Markdown")
    expect(field).to_be_focused()
    expect(field).to_have_value(OTHER)
    field.fill(OTHER.replace("longer", "two hours"))
    expect(page.locator("[data-changes-text] del")).to_have_text("longer. ")
    expect(page.locator("[data-changes-text] ins")).to_have_text("two hours. ")
    press(page, "Control+Enter")
    again = page.get_by_role("dialog", name="Read it once more")
    expect(again.locator("ins")).to_have_text("two hours. ")
    expect(again.get_by_text("nothing was changed")).to_be_hidden()
    press(page, "Enter")
    assert stored(person)["text"] == OTHER.replace("longer", "two hours")


def test_a_quick_enter_after_the_second_look_opens_is_not_written_into_the_text(work, person: User) -> None:
    """The focus is on the button before anything else can happen."""
    page = work(campaign_of("rewrite", person, [OTHER]))
    press(page, "n")
    expect(page.get_by_label("Better answer, in Markdown")).to_be_focused()
    page.evaluate("document.querySelector('[data-judge]').requestSubmit(); window.first = document.activeElement")
    assert page.evaluate("window.first.matches('[data-send]')")


def test_an_answer_left_as_it_was_is_asked_about_and_may_be_sent(work, person: User) -> None:
    page = work(campaign_of("rewrite", person, [OTHER]))
    press(page, "Enter")
    expect(page.get_by_text("nothing was changed")).to_be_visible()
    assert not Feedback.objects.exists()
    press(page, "Enter")
    assert stored(person)["text"] == OTHER


def test_a_lead_may_leave_the_second_look_out(work, person: User) -> None:
    page = work(campaign_of("rewrite", person, [OTHER], review=False))
    press(page, "Enter")
    assert stored(person)["text"] == OTHER


SEEN_WHOLE = """() => [...document.querySelectorAll('[data-answer], [data-row], [data-submit]')].every((one) => {
    const {left, right, top, bottom} = one.getBoundingClientRect();
    return left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight;
})"""


def test_four_answers_are_put_in_order_by_keys(work, person: User) -> None:
    page = work(campaign_of("ranking", person, [ANSWER, OTHER, OTHER + " So they say.", "No."]))
    page.set_viewport_size({"width": 1440, "height": 900})
    assert page.evaluate(SEEN_WHOLE), "something of four answers has to be scrolled to"
    press(page, "Shift+C")
    expect(page.locator("[data-answer='2'] [data-scroll]")).to_be_focused()
    press(page, "c")
    expect(page.get_by_placeholder("Comment: why? (optional)")).to_be_focused()
    press(page, "Escape 2 1 2 4 Enter")
    order = Feedback.objects.get(user=person).shown_order if stored(person) else []
    assert [stored(person)["ranks"][position] for position in order] == [2, 1, 2, 3]


DIMENSIONS = ["Accuracy: what it states is true", "Clarity: easy to follow", "Style"]


def test_a_comparison_in_several_dimensions_goes_from_one_to_the_next(work, person: User) -> None:
    page = work(campaign_of("pairwise", person, [ANSWER, OTHER], dimensions=DIMENSIONS))
    press(page, "0 2 t Enter")
    expect(page.get_by_text("Compare the two in this too.").first).to_be_visible()
    assert not Feedback.objects.exists()
    press(page, "7 Enter")
    said = stored(person)
    turned = 1 if Feedback.objects.get(user=person).shown_order == [0, 1] else -1
    assert said["verdict"] == "both_bad"
    assert said["dimensions"] == {"accuracy": 2 * turned, "clarity": 0, "style": -3 * turned}


def test_when_all_are_good_an_error_is_put_into_one(work, person: User) -> None:
    page = work(campaign_of("ranking", person, [ANSWER, OTHER, "No."], write_on_tie=True))
    field = page.get_by_label("One of the answers with an error")
    expect(field).to_be_hidden()
    press(page, "k j j j 9 Enter")
    expect(page.get_by_text("Put an error into one of the answers.")).to_be_visible()
    assert not Feedback.objects.exists()
    first = page.locator("[data-answer='0'] .text__raw").text_content().strip()
    page.get_by_role("button", name="Start from A").click()
    expect(field).to_have_value(first)
    page.keyboard.type(" And that is wrong.")
    press(page, "Control+Enter")
    said = stored(person)
    assert said["all"] == "good" and said["written"] == {"text": f"{first} And that is wrong.", "is": "worse"}


def test_when_both_are_bad_the_answer_is_written(work, person: User) -> None:
    page = work(campaign_of("pairwise", person, [ANSWER, OTHER], write_on_tie=True))
    press(page, "0 n")
    page.keyboard.type("Knead it for ten minutes.")
    press(page, "Control+Enter")
    assert stored(person)["written"] == {"text": "Knead it for ten minutes.", "is": "better"}


KINDS = [
    ("pairwise", 2),
    ("pairwise+write", 2),
    ("ranking+write", 3),
    ("ranking", 4),
    ("dual", 2),
    ("ratings", 1),
    ("ratings", 2),
    ("ratings", 4),
    ("safety", 2),
    ("principles", 1),
    ("critique", 1),
    ("rewrite", 1),
]


@pytest.mark.parametrize(("kind", "answers"), KINDS)
def test_every_kind_is_accessible_on_every_screen(work, person: User, kind: str, answers: int) -> None:
    name, _, more = kind.partition("+")
    options = {"write_on_tie": True} if more else {}
    if kind == "pairwise":
        options = {"dimensions": DIMENSIONS}  # without them: test_work.py
    campaign = campaign_of(name, person, [ANSWER, OTHER, OTHER + " So they say.", "No."][:answers], **options)
    page = work(campaign)
    if kind == "safety":
        page.locator("[value=unsafe]").first.check(force=True)
    if more:
        page.locator("[value=both_good], [name=all][value=good]").check(force=True)
    expect(page.get_by_role("button", name="Submit")).to_be_visible()
    assert everywhere(page, f"{kind}-{answers}") == []
