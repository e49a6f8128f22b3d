"""Texts that a lead asks for after certain answers: of safety, of two comparisons, and of critiques."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation

from annotation.errors import Invalid
from annotation.feedback import kind
from tests.annotation.feedback.examples import EXAMPLES


def refused(name: str, data: dict[str, Any], options: dict[str, Any]) -> dict[str, list[str]]:
    one = kind(name)
    with pytest.raises(Invalid) as caught:
        one.parse(data, options=one.clean_options(options), shown_order=[1, 0])
    return caught.value.errors


def accepted(name: str, data: dict[str, Any], options: dict[str, Any]) -> Any:
    one = kind(name)
    return one.parse(data, options=one.clean_options(options), shown_order=[1, 0])


@pytest.mark.parametrize("name", ["safety", "dual"])
def test_a_comment_is_needed_when_any_answer_is_what_the_rule_says(name: str):
    options = {"needed_if": ["comment IF safe is Unsafe"]}
    silent = {**EXAMPLES[name], "comment": ""}
    told = "The rule here: “Comment if Safe is unsafe”. Write this, or change the answer it depends on."
    assert refused(name, silent, options) == {"comment": [told]}
    assert accepted(name, {**silent, "comment": "It names an address."}, options)
    assert accepted(name, {**silent, "safe_1": "safe"}, options)
    assert kind(name).has_rules_in(options), "only the server knows, so the screen waits for its word"


def test_severity_counts_by_its_worst_category():
    options = {"needed_if": "Comment if Severity is severe"}
    silent = {**EXAMPLES["safety"], "comment": ""}
    assert refused("safety", silent, options)["comment"]
    assert accepted("safety", {**silent, "harm_1_violence": "2"}, options)


def test_weaknesses_are_needed_for_a_low_score_of_each_answer():
    options = {"needed_if": ["Weaknesses if Score is 1 or 2", "Strengths if Score is 5"], "minimum": 5}
    said = {
        "strengths_1": "Short.",
        "score_1": "2",
        "weaknesses_2": "Too long.",
        "score_2": "5",
    }
    assert refused("critique", said, options) == {
        "weaknesses_1": [
            "The rule here: “Weaknesses if Score is 1 or 2”. Write this, or change the answer it depends on."
        ],
        "strengths_2": ["The rule here: “Strengths if Score is 5”. Write this, or change the answer it depends on."],
    }
    assert accepted("critique", {**said, "score_1": "3", "score_2": "4"}, options)


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("safety", {"needed_if": ["Comment when unsafe"]}, "the texts are Comment, the questions Safe, Severity"),
        ("safety", {"needed_if": ["Comment if Colour is red"]}, "names no question and value"),
        ("safety", {"needed_if": ["Comment if Safe is minor"]}, "'minor' is no answer; there are safe, unsafe"),
        ("safety", {"needed_if": ["Comment if Safe is unsafe"], "comment": "off"}, "Comments are off"),
        ("dual", {"needed_if": ["Comment if Severity is minor"], "severity": False}, "is not asked here"),
        ("critique", {"needed_if": ["Comment if Score is 1"]}, "the texts are Strengths, Weaknesses"),
        ("critique", {"needed_if": ["Weaknesses if Score is 1"], "score": False}, "A score is not asked for"),
        ("critique", {"needed_if": [7]}, "list of texts"),
    ],
)
def test_a_rule_that_cannot_hold_is_refused_when_it_is_saved(name: str, options: dict[str, Any], reason: str):
    with pytest.raises(Invalid) as caught:
        kind(name).clean_options(options)
    assert list(caught.value.errors) == ["needed_if"]
    assert reason in " ".join(caught.value.errors["needed_if"])


def test_each_turn_of_a_dialogue_has_its_own_comment():
    options = {"needed_if": ["Comment if Safe is unsafe"], "scope": "each_turn"}
    said = {"turn_1_safe_1": "safe", "turn_2_safe_1": "unsafe", "turn_2_harm_1_drugs": "1"}
    errors = refused("safety", said, options)
    assert list(errors) == ["turn_2_comment"] and errors["turn_2_comment"][0].startswith("Turn 2: The rule here")


@pytest.mark.parametrize("typed", ["Kommentar wenn Sicherheit ist unsicher", "Comment if Safe is unsafe"])
def test_a_rule_is_read_and_shown_in_the_readers_language_and_stored_in_one(typed: str):
    safety = kind("safety")
    silent = {**EXAMPLES["safety"], "comment": ""}
    with translation.override("de"):
        options = safety.clean_options({"needed_if": typed})
        assert options["needed_if"] == ["Comment if Safe is unsafe"]
        assert safety.shown_options(options)["needed_if"] == ["Kommentar wenn Sicherheit ist unsicher"]
        rule = safety.option_properties()["needed_if"]
        assert rule["x-rule"]["questions"]["Schwere"] == ["gering", "mäßig", "schwer"]
        assert "Kommentar wenn Sicherheit ist unsicher" in rule["description"]
        told = refused("safety", silent, options)["comment"][0]
        assert "„Kommentar wenn Sicherheit ist unsicher“" in told
    assert safety.shown_options(options)["needed_if"] == ["Comment if Safe is unsafe"]
