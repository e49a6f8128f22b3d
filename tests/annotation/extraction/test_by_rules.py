"""Rules: clauses, words of praise and blame, negation. English only, and a start for a person at best."""

from __future__ import annotations

import time

import pytest

from annotation.extraction.by_rules import ByRules
from annotation.extraction.checks import check
from annotation.feedback.principled_critique import PrincipledCritique

LISTED = PrincipledCritique.listed({})


def proposed(critique: str, known: dict[str, str] | None = None) -> dict[str, str]:
    known = LISTED if known is None else known
    checked = check(ByRules().find(critique, known), critique=critique, known=known, by=ByRules.name)
    return {one["key"] or one["statement"]: one["answer"] for one in checked.proposals}


@pytest.mark.parametrize(
    ("critique", "expected"),
    [
        ("It is very clear.", {"clear": "yes"}),
        ("It is not clear at all.", {"clear": "no"}),
        ("The wording is unclear.", {"clear": "no"}),
        ("It isn't confusing.", {"clear": "yes"}),
        ("It is mostly clear.", {"clear": "partly"}),
        ("Not only clear but also polite.", {"clear": "yes", "suitable_tone": "yes"}),
        ("There are no mistakes in it.", {"accuracy_of_information": "yes"}),
        ("The second number is simply wrong.", {"accuracy_of_information": "no"}),
        ("It is clear, but far too long.", {"clear": "yes", "concise": "no"}),
        ("It should be more concise.", {"concise": "no"}),
        ("It could be a bit more concise.", {"concise": "partly"}),
        ("It never cites a source.", {"Cites or points to evidence": "no"}),
        ("It is neither rude nor preachy.", {"suitable_tone": "yes"}),
        ("Good bread needs time.", {}),
        ("", {}),
    ],
)
def test_what_is_praised_and_what_is_blamed(critique: str, expected: dict[str, str]):
    found = proposed(critique)
    assert found == expected


def test_the_evidence_is_the_clause_that_says_so():
    critique = "The tone is friendly. However, the last figure is wrong; nobody checked it."
    checked = check(ByRules().find(critique, LISTED), critique=critique, known=LISTED, by="rules-1")
    quoted = {one["key"]: one["evidence"]["text"] for one in checked.proposals}
    assert quoted == {"suitable_tone": "The tone is friendly", "accuracy_of_information": "the last figure is wrong"}


def test_principles_that_only_this_campaign_has_are_known_by_their_words():
    known = {"mentions_side_effects": "Mentions side effects: all that matter", "asks_back": "Asks back"}
    assert proposed("It mentions every side effect.", known) == {"mentions_side_effects": "yes"}
    assert proposed("It does not mention side effects.", known) == {"mentions_side_effects": "no"}
    assert proposed("The side effects are mentioned badly.", known) == {"mentions_side_effects": "no"}


def test_a_long_critique_takes_milliseconds():
    critique = ("It is clear in places, but the second figure is wrong and never cites a source. " * 130)[:10_000]
    started = time.process_time()
    proposed(critique)
    assert time.process_time() - started < 1.0
