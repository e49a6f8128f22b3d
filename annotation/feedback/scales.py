"""Ratings of an answer from 0 to 4 on attributes that a campaign names, each point with its own words.

An attribute is a line "Name: words for 0 | for 1 | for 2 | for 3 | for 4", or its name alone. The form is HelpSteer2's
(Z. Wang et al., 2024, section 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from annotation.feedback.fields import Options, key_of, title_and_rest

LOWEST, HIGHEST = 0, 4
MOST_ATTRIBUTES = 12
# What is said on a scale, by the text that a form sends.
VALUES = {str(value): str(value) for value in range(LOWEST, HIGHEST + 1)}
LINES = "One per line: its name, a colon, and the words for 0, 1, 2, 3 and 4 with | between them."


def clean(reader: Options, *, least: int = 1) -> None:
    """Take the option "attributes", a line for each."""
    reader.lines("attributes", most=MOST_ATTRIBUTES, least=least)
    for line in reader.values["attributes"]:
        words = words_of(line)
        if words and len(words) != HIGHEST + 1:
            reader.refuse("attributes", f"{line.partition(':')[0]!r} has {len(words)} words for its points; give 5.")


def words_of(line: str) -> list[str]:
    """Return the words of an attribute's points; none when the line names the attribute alone."""
    _, rest = title_and_rest(line)
    return [words.strip() for words in rest.split("|")] if rest else []


def row(line: str, place: int) -> dict[str, Any]:
    """Return what a template draws of an attribute for the answer in this place: name, title, points with words."""
    return {
        "name": f"{key_of(line)}_{place}",
        "title": title_and_rest(line)[0],
        "points": [
            {"value": str(value), "words": words} for value, words in enumerate(words_of(line) or [""] * (HIGHEST + 1))
        ],
    }


def values(ratings: Sequence[Mapping[str, int]], shown_order: Sequence[int]) -> dict[str, str]:
    """Return the form values of ratings in canonical order."""
    return {
        f"{key}_{place}": str(value)
        for place, position in enumerate(shown_order, start=1)
        for key, value in ratings[position].items()
    }


def tallied(ratings: Sequence[Mapping[str, int]], titles: Mapping[str, str]) -> list[str]:
    """Return what a chart counts of ratings: a name and a value for each."""
    return [f"{titles.get(key, key)} {value}" for one in ratings for key, value in one.items()]


def tally_labels(titles: Mapping[str, str]) -> list[str]:
    return [f"{title} {value}" for title in titles.values() for value in range(LOWEST, HIGHEST + 1)]


def json_schema(lines: Sequence[str]) -> dict[str, Any]:
    """Return the schema of the fields about the answer shown first."""
    return {
        f"{key_of(line)}_1": {
            "description": f"{title_and_rest(line)[0]} of the answer shown first, from 0 to 4; _2 is the second's.",
            "enum": list(VALUES),
        }
        for line in lines
    }
