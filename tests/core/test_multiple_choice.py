"""LabSafety Bench's layout: what is read of a row, in which order options stand, and what a bad row is told."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.core.lab_safety import lab_rows
from training.recipes.multiple_choice import LETTERS, STEPS, question, questions, read

ROW = {
    "Question": "Which is not worn?\n   A: Goggles\n   B: Open shoes\n   C: A lab coat\n   D: Gloves",
    "Explanation": "Feet need cover.",
    "Correct Answer": "B",
    "Category": ["PPE", "Chemical hazards", "PPE"],
    "Topic": "Clothes",
    "Level": "Easy",
    "Image Path": None,
    "Decoded Image": None,
}


def test_a_published_row_is_read_and_asked_without_its_key():
    one = question(ROW)
    assert (one.stem, one.options) == ("Which is not worn?", ("Goggles", "Open shoes", "A lab coat", "Gloves"))
    assert (one.answer, one.categories, one.topic, one.level) == ("B", ("PPE", "Chemical hazards"), "Clothes", "Easy")
    (asked,) = one.messages(STEPS)
    assert asked["content"].startswith("Which is not worn?\nA: Goggles\nB: Open shoes\n") and "Feet" not in str(asked)
    shown = question({**ROW, "Image Path": "pictures/answer_is_B.png"})
    assert (one.modality, shown.modality) == ("text", "image") and "answer_is_B" not in str(shown.messages())
    assert "answer_is_B" not in shown.id and shown.id != one.id


@pytest.mark.parametrize(
    "text",
    [
        "Which (A: or B:) fits? A) one B) two C) three D) four",
        "Which (A: or B:) fits?\n(A) one\n(B) two\n(C) three\n(D) four",
        "Which (A: or B:) fits?\nA. one\nB. two\n\nC. three\nD. four\n",
    ],
)
def test_options_are_read_however_they_are_marked(text: str):
    one = question({**ROW, "Question": text})
    assert one.stem == "Which (A: or B:) fits?" and one.options == ("one", "two", "three", "four")


def test_moved_options_keep_the_key_and_none_stays_where_it_was():
    orders = set()
    for one in (question(row) for row in lab_rows(24)):
        moved = one.moved(0)
        right = one.options[LETTERS.index(one.answer)]
        assert moved.options[LETTERS.index(moved.answer)] == right and moved == one.moved(0)
        assert all(a != b for a, b in zip(one.options, moved.options, strict=True))
        assert moved.option_of(moved.answer) == one.option_of(one.answer) == LETTERS.index(one.answer)
        orders.add(moved.order)
    assert len(orders) > 3 and one.option_of(None) is None


@pytest.mark.parametrize("last", ["All of the above", "Both A and C", "none of these", "Neither of the above"])
def test_options_that_speak_of_others_are_not_moved(last: str):
    assert question(ROW).can_be_moved
    assert not question({**ROW, "Question": ROW["Question"].replace("Gloves", last)}).can_be_moved
    assert question({**ROW, "Question": ROW["Question"].replace("Gloves", "Keep it below 25 °C")}).can_be_moved


def test_files_are_lines_or_a_list_and_a_bad_row_is_named(tmp_path: Path):
    rows = lab_rows()
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "a.json").write_text(json.dumps(rows, indent=1))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    found = [read(tmp_path / name) for name in ("a.jsonl", "a.json", "a.jsonl.gz")]
    assert found[0] == found[1] == found[2] and len(found[0]) == 12
    for change, says in (
        ({"Correct Answer": "E"}, "Correct Answer is none"),
        ({"Question": "Which?\nA: one\nB: two\nC: three"}, "four options"),
        ({"Category": [1]}, "Category is no list"),
        ({"Correct Answer": rows[0]["Correct Answer"], "Question": rows[0]["Question"]}, "repeats"),
    ):
        with pytest.raises(ValueError, match=rf"Row 2 of x.*{says}"):
            questions([(1, rows[0]), (2, {**rows[1], **change})], name="x")
    with pytest.raises(ValueError, match="no question in x"):
        questions([], name="x")
    (tmp_path / "a.jsonl").write_text("{}\nnot json")
    with pytest.raises(ValueError, match=r"Row 1 of a\.jsonl"):
        read(tmp_path / "a.jsonl")
