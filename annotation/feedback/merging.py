"""An answer put together out of several people's: question by question, as a reviewer takes over what holds.

Kinds name the fields of their forms after their questions: ``helpfulness_1`` is the question "helpfulness" about the
answer in place 1, and what ends in that belongs to it (``evidence_helpfulness_1``). A question without a field of its
own, such as one about each turn of a dialogue, cannot be taken over alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Values = Mapping[str, Any]


def fields_of(question: str, place: int, names: Iterable[str]) -> list[str]:
    """Return which of the form's fields a question about the answer in `place`, from 0, is answered in."""
    number = str(place + 1)
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
    names = dict.fromkeys(name for one in everybody for name in one)
    return {name: giver.get(name, "") for name in fields_of(question, place, names)}
