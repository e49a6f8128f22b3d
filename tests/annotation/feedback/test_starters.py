"""Sentence starters: which text each is offered for, and what a lead may set."""

from __future__ import annotations

import pytest

from annotation.errors import Invalid
from annotation.feedback import kind
from annotation.feedback.starters import for_part

LINES = ["+ It is right that", "- It leaves out", "It says", "+"]


def test_a_sign_says_which_text_a_starter_is_for() -> None:
    assert for_part(LINES, "strengths") == ["It is right that", "It says"]
    assert for_part(LINES, "weaknesses") == ["It leaves out", "It says"]
    assert for_part(LINES, "") == ["It is right that", "It leaves out", "It says"]


@pytest.mark.parametrize("name", ["critique", "principled_critique"])
def test_a_campaign_has_its_own_or_none(name: str) -> None:
    read = kind(name).clean_options({"starters": "It says\n\n- It leaves out"})
    assert read["starters"] == ["It says", "- It leaves out"]
    assert kind(name).clean_options({})["starters"] == []
    for wrong in (["x" * 81], ["a"] * 2, [f"line {n}" for n in range(13)], 7):
        with pytest.raises(Invalid):
            kind(name).clean_options({"starters": wrong})
