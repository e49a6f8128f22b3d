from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from annotation.feedback.spans import as_evidence, locate


def test_a_passage_is_found_behind_the_marks_of_markdown():
    raw = "First, **mix** the\nflour with `water`.\n\n- then wait"
    start, end = locate(raw, "mix the flour with water")
    assert raw[start:end] == "mix** the\nflour with `water"
    start, end = locate(raw, "wait")
    assert raw[start:end] == "wait"


def test_what_stands_nowhere_has_no_place():
    assert locate("One two three.", "four") is None
    assert locate("One two three.", "") is None
    assert locate("", "one") is None
    assert as_evidence("One two.", "") is None
    assert as_evidence("One two.", "three") == {"text": "three", "start": None, "end": None}


def test_signs_alone_are_looked_for_as_they_are():
    assert locate("a -> b", "->") == (2, 4)
    assert locate("a b", "->") is None


@given(raw=st.text(min_size=1, max_size=60), data=st.data())
def test_every_cut_of_the_text_is_found_with_the_same_letters(raw, data):
    start = data.draw(st.integers(0, len(raw) - 1))
    end = data.draw(st.integers(start + 1, len(raw)))
    cut = raw[start:end]
    place = locate(raw, cut)
    assert place is not None
    found = raw[place[0] : place[1]]
    letters = [mark for mark in cut if mark.isalnum()]
    assert [mark for mark in found if mark.isalnum()] == letters or (not letters and found == cut)
