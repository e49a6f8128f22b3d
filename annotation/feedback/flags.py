"""Flags that people may raise at an answer with one key, such as Spam; a campaign names them, one per line.

In a payload they are ``"flags": [{flag: bool}, …]``, one object per completion in canonical order, where the campaign
has any. A flag answers yes or no: that none was raised says no.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.utils.translation import gettext as _

from annotation.feedback.base import Dimension, Payload, Point
from annotation.feedback.fields import Fields, Options, lines_schema, titles_of

MOST_FLAGS = 9
FLAGGED = "yes"


def option_schema() -> dict[str, Any]:
    told = _("What people may say of an answer by one key, such as Spam or Wrong language; one per line. Or none.")
    return lines_schema(_("Flags"), (), told, least=0)


def clean(reader: Options) -> None:
    """Take the option "flags" beside "attributes"."""
    reader.lines("flags", most=MOST_FLAGS, least=0)
    refuse_alike(reader)


def refuse_alike(reader: Options) -> None:
    """Refuse attributes whose fields could be taken for those of a flag."""
    for key in titles_of(reader.values["attributes"]):
        if key.startswith("flag_"):
            told = _("{name} could be taken for a flag; begin its name with another word.")
            reader.refuse("attributes", told.format(name=repr(key)))


def drawn(lines: Sequence[str], place: int) -> list[dict[str, str]]:
    """Return what a template draws for the answer in this place: name, title and key of each flag."""
    titles = titles_of(lines)
    return [
        {"name": field(key, place), "title": title, "key": str(number)}
        for number, (key, title) in enumerate(titles.items(), start=1)
    ]


def read(reader: Fields, lines: Sequence[str], shown_order: Sequence[int]) -> dict[str, Any]:
    """Return ``flags`` in canonical order; nothing where the campaign has none."""
    flags: list[dict[str, bool]] = [{} for _place in shown_order]
    for place, position in enumerate(shown_order, start=1):
        for key in titles_of(lines):
            flags[position][key] = bool(reader.choice(field(key, place), (FLAGGED,), required=False))
    return {"flags": flags} if lines else {}


def values(payload: Payload, shown_order: Sequence[int]) -> dict[str, str]:
    """Return the form values that would raise the same flags again."""
    return {
        field(key, place): FLAGGED
        for place, position in enumerate(shown_order, start=1)
        for key in raised(payload, position)
    }


def raised(payload: Payload, position: int) -> list[str]:
    """Return the flags that were raised at one answer."""
    return [key for key, is_raised in payload["flags"][position].items() if is_raised] if "flags" in payload else []


def dimensions(lines: Sequence[str]) -> list[Dimension]:
    return [Dimension(f"flag_{key}", title, ordered=False) for key, title in titles_of(lines).items()]


def points(payload: Payload) -> Iterator[Point]:
    """Yield a point for each flag of each answer, raised or not."""
    for position, flags in enumerate(payload.get("flags", ())):
        for key, is_raised in flags.items():
            yield Point(f"flag_{key}", position, int(is_raised), "raised" if is_raised else "not raised")


def point_in_words(point: Point) -> str | None:
    """Return what a point says; None where it is none of a flag."""
    if not point.dimension.startswith("flag_"):
        return None
    return _("raised") if point.value else _("not raised")


def json_schema(lines: Sequence[str]) -> dict[str, Any]:
    """Return the schema of the fields about the answer shown first."""
    return {
        field(key, 1): {"enum": [FLAGGED], "description": f"{title}: left out when it is not."}
        for key, title in titles_of(lines).items()
    }


def field(key: str, place: int) -> str:
    return f"flag_{key}_{place}"
