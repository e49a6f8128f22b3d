"""An answer put together out of several people's: question by question, as a reviewer takes over what holds.

Kinds name the fields of their forms after their questions: ``helpfulness_1`` is the question "helpfulness" about the
answer in place 1, and what ends in that belongs to it (``evidence_helpfulness_1``). Where each turn of a dialogue is
judged, a turn is a place, and ``turn_2_helpfulness_1`` is the question about the second. What else can be taken over,
such as a text, is a `Part`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

Values = Mapping[str, Any]


class Part(NamedTuple):
    """What can be taken over of a form and is no question that people are compared on, or has fields of other names."""

    question: str
    place: int
    title: str
    names: Sequence[str]  # the fields it is said in; none where it can only be read
    said: Callable[[Values], str]  # in words, of one person's form


def texts(words: Mapping[str, Any], said: Sequence[Values]) -> list[Part]:
    """Return what people wrote, of the fields in `words`: their names without the place, and what they are called."""
    names = list(dict.fromkeys(name for one in said for name in one))
    found: dict[tuple[str, int], Part] = {}
    for name in names:
        turn, stem, place = _WRITTEN.fullmatch(name).groups()  # type: ignore[union-attr]  # fits any name
        at = int(turn or place or 1) - 1
        if stem in words and any(one.get(name) for one in said):
            own = fields_of(stem, at, names)
            found[stem, at] = Part(stem, at, str(words[stem]), own, partial(_text, name))
    return list(found.values())


def _text(name: str, form: Values) -> str:
    return str(form.get(name, ""))


_WRITTEN = re.compile(r"(?:turn_(\d+)_)?(.*?)(?:_(\d+))?", re.DOTALL)


def fields_of(question: str, place: int, names: Sequence[str]) -> list[str]:
    """Return which of the form's fields a question about the answer in `place`, from 0, is answered in."""
    number = str(place + 1)
    turn = f"turn_{number}_"
    if inside := [name.removeprefix(turn) for name in names if name.startswith(turn)]:
        return [turn + name for name in fields_of(question, 0, inside)]
    subject = "image" if question.startswith("image_") else number
    if question.removeprefix("image_") in ("safe", "severity"):  # a label is one answer: safe, or what is wrong with it
        return [name for name in names if name == f"safe_{subject}" or name.startswith(f"harm_{subject}_")]
    if question.startswith("harm_"):
        wanted = {f"safe_{number}", f"harm_{number}_{question.removeprefix('harm_')}"}
        return [name for name in names if name in wanted]
    if question == "order":
        return [name for name in names if name.startswith("rank_")]
    own = f"{question}_{number}"
    return [name for name in names if name in (question, own) or name.endswith(f"_{own}")]


def agreed(said: Sequence[Values]) -> dict[str, Any]:
    """Return the fields that all have filled in alike."""
    if not said:
        return {}
    return {name: value for name, value in said[0].items() if all(name in one and one[name] == value for one in said)}


def taken(question: str, place: int, *, giver: Values, everybody: Sequence[Values]) -> dict[str, Any]:
    """Return what to fill in so that a question is answered as `giver` did; nothing where it has no field of its own.

    What others have filled in there and `giver` has not is emptied.
    """
    names = list(dict.fromkeys(name for one in everybody for name in one))
    return {name: giver.get(name, "") for name in fields_of(question, place, names)}
