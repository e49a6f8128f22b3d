"""Sentences of the core: English as they are, and in any other language by what they remember."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

from training.recipes.note import Note, in_json, note_of
from training.recipes.spec import RunResult


def test_a_note_is_its_english_and_remembers_what_it_was_made_of() -> None:
    why = Note("have no {thing}", thing="label")
    note = Note("{n} rows, {share:.0%}, {why}.", n=3, share=0.251, why=why)
    assert note == "3 rows, 25%, have no label."
    assert note.told == {
        "told": [
            [
                "{n} rows, {share:.0%}, {why}.",
                {"n": 3, "share": 0.251, "why": {"told": [["have no {thing}", {"thing": "label"}]]}},
            ]
        ]
    }
    both = Note.together([why, note])
    assert both == f"{why} {note}" and both.told["told"] == [*why.told["told"], *note.told["told"]]


def test_values_that_json_has_no_word_for_are_kept_as_text() -> None:
    note = Note("{cost:.2f} in {path}", cost=math.inf, path=Path("/a"))
    assert note == "inf in /a"
    assert json.loads(json.dumps(note.told, allow_nan=False)) == {
        "told": [["{cost:.2f} in {path}", {"cost": "inf", "path": "/a"}]]
    }


def test_a_copy_has_the_same_even_of_a_text_with_braces() -> None:
    note = Note("This is no JSON: {text}", text="{a}")
    again = copy.deepcopy(note)
    assert type(again) is Note and (again, again.told) == (note, note.told)


def test_an_error_keeps_its_note_and_any_other_its_words() -> None:
    note = Note("Take {n}.", n=1)
    assert note_of(ValueError(note)) is note and note_of(ValueError("Two.")) == "Two."
    assert in_json("error", note) == {"error": "Take 1.", **note.told}
    assert in_json("error", "Two.") == {"error": "Two."}


def test_a_result_keeps_its_notes_in_english_and_beside_them_what_they_are_told_by(tmp_path: Path) -> None:
    note = Note("{n} rows are held out.", n=2)
    RunResult(notes=[note]).write(tmp_path)
    read = RunResult.read(tmp_path)
    assert read is not None and (read.notes, read.told) == ([str(note)], [note.told])
    (tmp_path / "result.json").write_text('{"notes": ["As an older version wrote it."]}')
    old = RunResult.read(tmp_path)
    assert old is not None and old.told == [{"told": ["As an older version wrote it."]}]
