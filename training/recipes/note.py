"""A sentence of the learning core for people: English text that remembers its message and what stands in its places.

The core knows no catalogue and no language. It is a `str`, so that files, logs and the command line have the English as
always; what tells it in another language reads `Note.told`, of the form that `annotation.told` stores and reads:
``{"told": [["{n} rows were cut.", {"n": 3}], …]}``. `manage.py catalogues` finds the messages in the calls of `Note`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Self


class Note(str):
    """One sentence, or several one after the other. `told` is their messages and values, fit for JSON."""

    __slots__ = ("told",)

    told: dict[str, Any]

    def __new__(cls, message: str, /, **values: Any) -> Self:
        """Return the sentence; in the places of `message`, written as for `str.format`, stand text, numbers or notes.

        A share is a number of 0 to 1 with a place such as ``{share:.0%}``: how it is written is the language's.
        """
        note = super().__new__(cls, message.format(**values))
        note.told = {"told": [[message, {name: _plain(value) for name, value in values.items()}]]}
        return note

    @classmethod
    def together(cls, notes: Iterable[str]) -> Self:
        """Return several as one, with a blank between them; what is no note is text that nobody translates."""
        notes = list(notes)
        parts = [part for note in notes for part in (note.told["told"] if isinstance(note, Note) else [str(note)])]
        return cls._of(" ".join(notes), {"told": parts})

    @classmethod
    def _of(cls, text: str, told: dict[str, Any]) -> Self:
        note = super().__new__(cls, text)
        note.told = told
        return note

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy must not take the text for a message: it may have braces.
        return type(self)._of, (str(self), self.told)


def note_of(error: BaseException) -> Note | str:
    """Return the sentence that an error was raised with, as a note where it is one."""
    return error.args[0] if error.args and isinstance(error.args[0], Note) else str(error)


def in_json(name: str, sentence: Note | str) -> dict[str, Any]:
    """Return a sentence as part of a JSON object: its English as `name`, and ``told`` beside it where it is a note."""
    return {name: str(sentence), **(sentence.told if isinstance(sentence, Note) else {})}


def _plain(value: Any) -> Any:
    if isinstance(value, Note):
        return value.told
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return value if math.isfinite(value) else str(value)  # JSON has no other numbers
