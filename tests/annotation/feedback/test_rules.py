"""Rules that a lead writes: questions asked only after certain answers, and answers that exclude each other."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation

from annotation.errors import Invalid
from annotation.feedback import kind

RATINGS = kind("ratings")
THREE = {"attributes": ["Helpfulness", "Correctness", "Complexity"]}
RULED = {
    **THREE,
    "ask_if": ["Correctness if Helpfulness is 3 or 4", "complexity IF correctness is 2, 3, 4"],
    "never_both": ["Helpfulness is 4 and Complexity is 0 or 1"],
}


def parse(data: dict[str, Any], options: dict[str, Any] = RULED, order: tuple[int, ...] = (0,)) -> dict[str, Any]:
    return RATINGS.parse(data, options=RATINGS.clean_options(options), shown_order=order)


def test_a_question_that_is_not_asked_need_not_be_answered_and_does_not_count():
    assert parse({"helpfulness_1": "1"})["ratings"] == [{"helpfulness": 1}]
    assert parse({"helpfulness_1": "1", "correctness_1": "4", "complexity_1": "4"})["ratings"] == [{"helpfulness": 1}]
    chain = parse({"helpfulness_1": "3", "correctness_1": "1", "complexity_1": "2"})
    assert chain["ratings"] == [{"helpfulness": 3, "correctness": 1}], "asked after a question that was not met"


def test_a_question_that_is_asked_must_be_answered():
    with pytest.raises(Invalid) as refused:
        parse({"helpfulness_1": "4"})
    assert list(refused.value.errors) == ["correctness_1"]


def test_what_excludes_each_other_is_refused_with_the_rule():
    with pytest.raises(Invalid) as refused:
        parse({"helpfulness_1": "4", "correctness_1": "4", "complexity_1": "1"})
    assert refused.value.errors == {
        "complexity_1": ["The rule here: never “Helpfulness is 4 and Complexity is 0 or 1”. Change one of the two."]
    }
    assert parse({"helpfulness_1": "4", "correctness_1": "4", "complexity_1": "2"})


def test_rules_hold_for_each_answer_on_its_own_and_in_terms_of_the_screen():
    both = {"helpfulness_1": "0", "helpfulness_2": "3", "correctness_2": "0"}
    payload = parse(both, order=(1, 0))
    assert payload["ratings"] == [{"helpfulness": 3, "correctness": 0}, {"helpfulness": 0}]
    options = RATINGS.clean_options(RULED)
    again = RATINGS.initial(payload, shown_order=(1, 0))
    assert RATINGS.parse(again, options=options, shown_order=(1, 0)) == payload
    assert len(list(RATINGS.points(payload))) == 3
    assert (
        RATINGS.describe(payload, options=options) == "Answer 1: Helpfulness 3, Correctness 0; Answer 2: Helpfulness 0"
    )
    with pytest.raises(Invalid) as refused:
        parse({"helpfulness_1": "0", "helpfulness_2": "3"}, order=(1, 0))
    assert list(refused.value.errors) == ["correctness_2"]


def test_the_page_and_the_schema_know_what_is_asked_when():
    options = RATINGS.clean_options(RULED)
    rows = RATINGS.context(options=options, shown_order=(0, 1))["answers"][1]["rows"]
    assert "asked_if" not in rows[0]
    assert (rows[1]["asked_if"], rows[1]["asked_values"]) == ("helpfulness_2", "3 4")
    assert RATINGS.json_schema(options)["required"] == ["helpfulness_1"]
    assert RATINGS.has_rules_in(options) and not RATINGS.has_rules_in(RATINGS.clean_options(THREE))


@pytest.mark.parametrize(
    ("name", "line", "reason"),
    [
        ("ask_if", "Correctness when Helpfulness is 3", "write it as"),
        ("ask_if", "Beauty if Helpfulness is 3", "the questions are Helpfulness, Correctness, Complexity"),
        ("ask_if", "Correctness if Beauty is 3", "names no question"),
        ("ask_if", "Correctness if Helpfulness is 7", "'7' is no answer; there are 0, 1, 2, 3, 4"),
        ("ask_if", "Correctness if Helpfulness is", "'nothing' is no answer"),
        ("ask_if", "Helpfulness if Correctness is 3", "ask Correctness before Helpfulness"),
        ("ask_if", "Helpfulness if Helpfulness is 3", "before"),
        ("never_both", "Helpfulness is 4", "write it as"),
        ("never_both", "Helpfulness is 4 and Helpfulness is 0", "two different questions"),
        ("never_both", "Helpfulness is 4 and Beauty is 0", "names no question"),
        ("never_both", "x\x00 is 4 and Beauty is 0", ""),
    ],
)
def test_a_line_that_cannot_hold_is_refused_when_it_is_saved(name, line, reason):
    with pytest.raises(Invalid) as refused:
        RATINGS.clean_options({**THREE, name: [line]})
    assert list(refused.value.errors) == [name]
    assert reason in refused.value.errors[name][0]


@pytest.mark.parametrize("value", [7, [1], {"a": 1}, [f"Correctness if Helpfulness is {n % 5}" for n in range(21)]])
def test_what_is_no_list_of_lines_is_refused(value):
    with pytest.raises(Invalid):
        RATINGS.clean_options({**THREE, "ask_if": value})


def test_a_question_has_one_condition():
    with pytest.raises(Invalid, match="do not fit"):
        RATINGS.clean_options({**THREE, "ask_if": "Complexity if Helpfulness is 1\nComplexity if Correctness is 1"})


def test_principles_have_rules_too():
    principles = kind("principles")
    options = principles.clean_options(
        {
            "principles": ["Clear: understood at once", "If needed, asks back", "Concise"],
            "ask_if": ["If needed, asks back if Clear is no or does not apply"],
            "never_both": ["Clear is no and Concise is yes"],
        }
    )
    said = principles.parse({"clear_1": "yes", "concise_1": "yes"}, options=options, shown_order=(0,))
    assert set(said["principles"][0]) == {"clear", "concise"}
    with pytest.raises(Invalid) as refused:
        principles.parse({"clear_1": "no", "concise_1": "yes"}, options=options, shown_order=(0,))
    assert set(refused.value.errors) == {"if_needed_asks_back_1", "concise_1"}


def test_rules_are_stored_in_english_in_one_spelling_and_shown_in_the_readers_language():
    options = RATINGS.clean_options(RULED)
    assert options["ask_if"][1] == "Complexity if Correctness is 2 or 3 or 4"
    principles = kind("principles")
    with translation.override("de"):
        shown = RATINGS.shown_options(options)
        assert shown["ask_if"][0] == "Correctness wenn Helpfulness ist 3 oder 4"
        assert shown["never_both"] == ["Helpfulness ist 4 und Complexity ist 0 oder 1"]
        assert RATINGS.clean_options(shown) == options
        # A title of the lead's own is nobody's to translate, also where it is a word of ours, and may hold such words.
        both = "Safe ist nein und Klar und kurz ist ja"
        titled = {"principles": ["Safe", "Klar und kurz: beides"], "never_both": both}
        read = principles.clean_options(titled)
        assert read["never_both"] == ["Safe is no and Klar und kurz is yes"]
        assert principles.shown_options(read)["never_both"] == [both]
        with pytest.raises(Invalid) as refused:
            principles.parse({"safe_1": "no", "klar_und_kurz_1": "yes"}, options=read, shown_order=(0,))
        assert f"„{both}“" in str(refused.value.errors)
    # What was saved before there was one spelling, or before a question went, is shown as it is.
    old = {**options, "ask_if": ["Beauty if Helpfulness is 3"]}
    assert RATINGS.shown_options(old)["ask_if"] == ["Beauty if Helpfulness is 3"]
