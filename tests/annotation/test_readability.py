"""Readability: the formulas by hand, what counts as a word and a sentence, and which languages they are for."""

from __future__ import annotations

import pytest

from annotation.errors import Invalid
from annotation.feedback import kind
from annotation.readability import Figures, figures, syllables


def test_the_formulas_by_hand():
    """Six words of one syllable in one sentence: 206.835 - 1.015*6 - 84.6 = 116.145; 0.39*6 + 11.8 - 15.59 = -1.45.

    Four words, 3 + 2 + 3 + 2 = 10 syllables, in two sentences: 206.835 - 1.015*2 - 84.6*2.5 = -6.695;
    0.39*2 + 11.8*2.5 - 15.59 = 14.69.
    """
    assert figures("The cat sat on the mat.") == Figures(6, 1, 116.1, -1.4)
    assert figures("Beautiful tables. Yesterday wanted!") == Figures(4, 2, -6.7, 14.7)


@pytest.mark.parametrize(
    ("word", "count"),
    [
        *(
            ("the", 1),
            ("made", 1),
            ("mile", 1),
            ("walked", 1),
            ("smiled", 1),
            ("played", 1),
            ("mouse", 1),
            ("strengths", 1),
        ),
        *(("table", 2), ("little", 2), ("wanted", 2), ("needed", 2), ("boxes", 2), ("people", 2), ("science", 2)),
        *(("creating", 3), ("beautiful", 3), ("yesterday", 3), ("readability", 5), ("x", 1), ("3", 1)),
    ],
)
def test_syllables(word: str, count: int):
    assert syllables(word) == syllables(word.upper()) == count


def test_markdown_is_read_as_people_read_it():
    text = "## A title\n\nSee [the docs](http://a.b/c) and `x = 1`.\n\n1. One thing\n2. Two things\n\n```py\nx: y\n```"
    assert (figures(text).words, figures(text).sentences) == (10, 4)
    assert (figures("It is 3.5 metres long. So be it!").sentences) == 2
    for nothing in ("", "   ", "```\ncode\n```", "…", "http://a.b"):
        assert figures(nothing) == Figures(0, 0, None, None), nothing


def test_formulas_are_for_english_only():
    assert figures("Das ist ein Satz.", "de") == Figures(4, 1, None, None)
    assert figures("This is one.", "en-GB").grade is not None
    assert figures("This is one.").grade is not None


def test_exports_of_rewritten_answers_say_how_both_read():
    rewrite = kind("rewrite")
    payload = rewrite.parse({"text": "It is short."}, options={}, shown_order=[0])
    assert "language" not in payload
    (row,) = rewrite.rows(
        "demonstrations", payload, texts=["It is a good deal longer."], origins=["m"], shown_order=[0]
    )
    assert (row["readability"]["words"], row["readability_before"]["words"]) == (3, 6)
    german = rewrite.parse({"text": "Es ist kurz."}, options={"language": "de"}, shown_order=[0])
    (row,) = rewrite.rows("demonstrations", german, texts=["Lang."], origins=["m"], shown_order=[0])
    assert row["readability"] == {"words": 3, "sentences": 1, "reading_ease": None, "grade": None}


@pytest.mark.parametrize("language", ["German", "d", "de_DE", 7, "x" * 40, "de-" + "abcd-" * 8 + "ab"])
def test_a_language_is_a_code(language: object):
    with pytest.raises(Invalid) as refused:
        kind("rewrite").clean_options({"language": language})
    assert refused.value.errors["language"]
