"""Ratings of an answer from 0 to 4 on attributes that a campaign names, each point with its own words.

An attribute is a line "Name: words for 0 | for 1 | for 2 | for 3 | for 4", or its name alone. The form is HelpSteer2's
(Z. Wang et al., 2024, section 2); a written reason beside each rating is MM-RLHF's (Y.-F. Zhang et al., 2025).

In a payload they are ``"ratings": [{attribute: 0..4, …}, …]`` and, where the campaign asks for reasons, those that were
written as ``"reasons": [{attribute: str}, …]``; one object per completion in canonical order. Where it asks how sure
people are, what they said of it is ``"confidence": [{attribute: 1..3}, …]``; nobody has to say it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotation.feedback import rules
from annotation.feedback.base import Payload, Point
from annotation.feedback.fields import (
    COMMENT_MODES,
    MAX_COMMENT,
    Fields,
    Options,
    comment_modes,
    key_of,
    title_and_rest,
)

LOWEST, HIGHEST = 0, 4
MOST_ATTRIBUTES = 12
# What is said on a scale, by the text that a form sends.
VALUES = {str(value): str(value) for value in range(LOWEST, HIGHEST + 1)}
# How sure somebody is of a rating: three points, as the instructions have them that HelpSteer2 was collected with.
CONFIDENCE = {"1": gettext_lazy("unsure"), "2": gettext_lazy("fairly sure"), "3": gettext_lazy("sure")}
LINES = gettext_lazy("One per line: its name, a colon, and the words for 0, 1, 2, 3 and 4 with | between them.")


def reasons_schema() -> dict[str, Any]:
    return {
        "type": "string",
        "title": _("A reason for each rating"),
        "description": _("In words, beside each attribute of each answer."),
        **comment_modes(),
        "default": "off",
    }


def confidence_schema() -> dict[str, Any]:
    return {
        "type": "boolean",
        "title": _("Ask how sure people are of each rating"),
        "description": _("In three steps, for who wants to say it. It is exported, and compared with nothing."),
        "default": False,
    }


def clean(reader: Options, *, least: int = 1) -> None:
    """Take the options "attributes", of which there are `least` or more lines, and "reasons"."""
    reader.choice("reasons", COMMENT_MODES)
    reader.lines("attributes", most=MOST_ATTRIBUTES, least=least)
    for line in reader.values["attributes"]:
        words = words_of(line)
        if words and len(words) != HIGHEST + 1:
            told = _("{name} has {n} words for its points; give 5.")
            reader.refuse("attributes", told.format(name=repr(line.partition(":")[0]), n=len(words)))
        if key_of(line).startswith("reason_"):
            told = _("{name} could be taken for a reason; begin it with another word.")
            reader.refuse("attributes", told.format(name=repr(key_of(line))))
        if reader.values.get("confidence") and key_of(line).startswith("confidence_"):
            told = _("{name} could be taken for how sure people are; begin it with another word.")
            reader.refuse("attributes", told.format(name=repr(key_of(line))))


def words_of(line: str) -> list[str]:
    """Return the words of an attribute's points; none when the line names the attribute alone."""
    _title, rest = title_and_rest(line)
    return [words.strip() for words in rest.split("|")] if rest else []


def row(line: str, place: int, reasons: str) -> dict[str, Any]:
    """Return what a template draws of an attribute for the answer in this place: name, title, points with words.

    And the name of the reason's field, empty where none is asked for.
    """
    key = key_of(line)
    return {
        "name": f"{key}_{place}",
        "title": title_and_rest(line)[0],
        "points": [_point(value, words) for value, words in enumerate(words_of(line) or [""] * (HIGHEST + 1))],
        "reason_name": "" if reasons == "off" else f"reason_{key}_{place}",
        "reason_required": reasons == "required",
    }


def _point(value: int, words: str) -> dict[str, str]:
    """Return a point with its words and its face: its number, or its word where that is one letter."""
    return {"value": str(value), "face": words if len(words) == 1 else str(value), "words": words}


def read(
    reader: Fields, options: Mapping[str, Any], shown_order: Sequence[int], *, asked: rules.Rules | None = None
) -> dict[str, Any]:
    """Return ``ratings`` in canonical order, and ``reasons`` and ``confidence`` if asked.

    What does not fit is collected in `reader`.
    """
    asked = asked or rules.Rules()
    ratings: list[dict[str, int]] = [{} for _place in shown_order]
    reasons: list[dict[str, str]] = [{} for _place in shown_order]
    confidence: list[dict[str, int]] = [{} for _place in shown_order]
    for place, position in enumerate(shown_order, start=1):
        said: dict[str, str] = {}
        for line in options["attributes"]:
            key = key_of(line)
            if asked.asks(key, said):
                said[key] = reader.choice(f"{key}_{place}", VALUES, missing=_("Rate this too."))
        asked.check(reader, said, place)
        ratings[position] = {key: int(value or LOWEST) for key, value in said.items()}
        written = {key: reader.comment(options["reasons"], name=f"reason_{key}_{place}") for key in said}
        reasons[position] = {key: text for key, text in written.items() if text}
        if options.get("confidence"):
            sure = {key: reader.choice(f"confidence_{key}_{place}", CONFIDENCE, required=False) for key in said}
            confidence[position] = {key: int(value) for key, value in sure.items() if value}
    found: dict[str, Any] = {"ratings": ratings}
    if options["reasons"] != "off":
        found["reasons"] = reasons
    if options.get("confidence"):
        found["confidence"] = confidence
    return found


def values(payload: Payload, shown_order: Sequence[int]) -> dict[str, str]:
    """Return the form values that would give the ratings and their reasons again; none where nothing was rated."""
    found: dict[str, str] = {}
    for place, position in enumerate(shown_order, start=1):
        for prefix, name in (("", "ratings"), ("reason_", "reasons"), ("confidence_", "confidence")):
            said = payload[name][position] if name in payload else {}
            found |= {f"{prefix}{key}_{place}": str(value) for key, value in said.items()}
    return found


def columns(payload: Payload, position: int) -> dict[str, Any]:
    """Return the columns of "ratings" that say how one answer was rated."""
    return {
        "ratings": payload["ratings"][position],
        "reasons": payload["reasons"][position] if "reasons" in payload else {},
        "confidence": payload["confidence"][position] if "confidence" in payload else {},
    }


def points(payload: Payload) -> Iterator[Point]:
    """Yield a point for each rating."""
    for position, ratings in enumerate(payload.get("ratings", ())):
        for key, value in ratings.items():
            yield Point(key, position, value, str(value))


def in_words(ratings: Mapping[str, int], titles: Mapping[str, str]) -> list[str]:
    """Return what was said of one answer: a name and a value for each rating."""
    return [f"{titles.get(key, key)} {value}" for key, value in ratings.items()]


def tally_labels(titles: Mapping[str, str]) -> list[str]:
    return [f"{title} {value}" for title in titles.values() for value in range(LOWEST, HIGHEST + 1)]


def json_schema(lines: Sequence[str], reasons: str) -> dict[str, Any]:
    """Return the schema of the fields about the answer shown first."""
    properties: dict[str, Any] = {}
    for line in lines:
        properties[f"{key_of(line)}_1"] = {
            "description": f"{title_and_rest(line)[0]} of the answer shown first, from 0 to 4; _2 is the second's.",
            "enum": list(VALUES),
        }
        if reasons != "off":
            properties[f"reason_{key_of(line)}_1"] = {"type": "string", "maxLength": MAX_COMMENT}
    return properties
