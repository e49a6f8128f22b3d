"""Sentences that are stored now and said later."""

from __future__ import annotations

import json

import pytest
from django.utils import translation

from annotation.told import Told, ToldField, of, share, stored, told, told_many

JUDGED = told("{done} of {total} pairs are judged.", done=1, total=3)


def test_a_sentence_is_said_in_the_language_of_whoever_reads_it() -> None:
    both = JUDGED + told("The loop is paused.")
    assert str(both) == "1 of 3 pairs are judged. The loop is paused."
    with translation.override("de"):
        assert str(both) == f"{both}" == "1 von 3 Paaren sind bewertet. Die Schleife pausiert."


def test_what_stands_in_a_sentence_is_said_in_it_too() -> None:
    why = told(
        "{run} failed twice: {error} Resume the round to try it again.", run=told("Run {number}", number=3), error=""
    )
    with translation.override("de"):
        assert str(why).startswith("Lauf 3 ist zweimal gescheitert")
        assert str(told("At most {n} GiB.", n=2.5)) == "At most 2,5 GiB."
        assert str(share(0.5)) == "50\N{NO-BREAK SPACE}%"
    assert str(share(0.5)) == "50%"


@pytest.mark.parametrize(("n", "said"), [(1, "aus 1 Paar."), (2, "aus 2 Paaren.")])
def test_a_plural_follows_its_number(n: int, said: str) -> None:
    with translation.override("de"):
        learns = told_many("The reward model learns from {n} pair.", "The reward model learns from {n} pairs.", n)
        assert str(learns).endswith(said)


def test_what_was_told_comes_back_as_it_was_stored() -> None:
    whole = JUDGED + told("{run} was cancelled.", run=told("Run {number}", number=3)) + Told(("as it was",))
    assert of(stored(whole)) == whole
    assert of(json.loads(json.dumps(whole.as_json()))) == whole
    assert of(ValueError(whole)) == whole and str(of(ValueError("plain"))) == "plain"
    field = ToldField()
    assert field.from_db_value(field.get_prep_value(whole), None, None) == whole


@pytest.mark.parametrize(
    "text", ["", "Two rows were cut.", "{0} {x} 100 %", '{"told": 3}', '{"told": [["a"]]}', '{"told":']
)
def test_plain_text_is_kept_as_it_is(text: str) -> None:
    assert stored(text) == text and str(of(text)) == text
    assert bool(of(text)) is bool(text)


def test_a_word_in_braces_of_what_stands_there_is_no_place() -> None:
    assert str(told("It holds {name}.", name="{total}")) == "It holds {total}."
