"""A principle with its examples: read, versioned by its words, and answered under that version."""

from __future__ import annotations

import pytest

from annotation.errors import Invalid
from annotation.feedback import kind, worded

LINE = "Concise: no repetition | yes: says it once | NO: says it: twice | if: it is long | or short"


def test_a_line_is_read_in_its_parts() -> None:
    one = worded.read(LINE)
    assert (one.key, one.title, one.meaning) == ("concise", "Concise", "no repetition | or short")
    assert (one.good, one.bad, one.when) == ("says it once", "says it: twice", "it is long")
    assert worded.plain(LINE) == "Concise: no repetition | or short"
    assert worded.read("Clear").meaning == ""


def test_other_words_are_another_version_and_a_copy_is_the_same() -> None:
    version = worded.read(LINE).version
    assert worded.read(LINE.replace("  ", " ") + " ").version == version
    assert worded.read(LINE.replace("once", "one time")).version != version


def test_a_judgement_says_which_wording_it_answered() -> None:
    principles = kind("principles")
    options = principles.clean_options({"principles": [LINE, "Clear: at first reading"]})
    shown = principles.context(options=options, shown_order=[0])["answers"][0]["rows"]
    assert [(row["name"], row["said"].good) for row in shown] == [("concise_1", "says it once"), ("clear_1", "")]
    payload = principles.parse({"concise_1": "yes", "clear_1": "no"}, options=options, shown_order=[0])
    rows = list(principles.rows("principles", payload, texts=["One."], origins=[""], shown_order=[0]))
    assert [row["principle_version"] for row in rows] == [worded.read(line).version for line in options["principles"]]
    schema = principles.json_schema(options)["properties"]["concise_1"]["description"]
    assert "says it once" not in schema


@pytest.mark.parametrize("name", ["principles", "principled_critique"])
def test_examples_need_a_meaning_before_them(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        kind(name).clean_options({"principles": ["Concise | yes: says it once"]})
    assert "before its examples" in caught.value.errors["principles"][0]
