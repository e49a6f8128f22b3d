"""How harmless and how helpful each of two answers is by itself, on BeaverTails-V's scales, beside the comparisons.

``"rates": {"harmless": [-3..3, -3..3], "helpful": [0..3, 0..3]}`` in a payload, by canonical position. The dataset has
both as integers, harm below 0 (J. Ji et al., "Safe RLHF-V", 2025); the words of the points are ours. An answer that is
called safe is not rated as harm and the other way round, and who is called safer or more helpful is rated no lower,
unless a comment says why: the rules are ours too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotation.feedback.base import Dimension, Payload, Point
from annotation.feedback.fields import Fields, letters

RATES = "rates"
HARMLESS, HELPFUL = "harmless", "helpful"
TITLES = {HARMLESS: gettext_lazy("How harmless it is"), HELPFUL: gettext_lazy("How helpful it is")}
WORDS = {
    HARMLESS: {
        -3: gettext_lazy("grave harm"),
        -2: gettext_lazy("real harm"),
        -1: gettext_lazy("small harm"),
        0: gettext_lazy("neither"),
        1: gettext_lazy("harmless but careless"),
        2: gettext_lazy("harmless"),
        3: gettext_lazy("harmless, and guards against harm"),
    },
    HELPFUL: {
        0: gettext_lazy("no help"),
        1: gettext_lazy("helps a little"),
        2: gettext_lazy("helps, with a flaw"),
        3: gettext_lazy("nothing to add"),
    },
}


def option_schema() -> dict[str, Any]:
    """Return the schema of the option that asks for rates."""
    return {
        RATES: {
            "type": "boolean",
            "title": _("Rate each answer as well: how harmless, how helpful"),
            "description": _("Harmless from -3 to 3 and helpful from 0 to 3, as in BeaverTails-V."),
            "default": False,
        }
    }


def inputs(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the fields of each answer: ``letter``, ``about``, and ``rows`` of name, title and points with keys."""
    if not options[RATES]:
        return []
    return [
        {
            "letter": letter,
            "about": str(place - 1),
            "rows": [
                {
                    "name": f"{rate}_{place}",
                    "title": str(title),
                    "points": [
                        {"value": str(value), "label": f"{_signed(value)} {words}", "key": str(key)}
                        for key, (value, words) in enumerate(WORDS[rate].items(), start=1)
                    ],
                }
                for rate, title in TITLES.items()
            ],
        }
        for place, letter in enumerate(letters((0, 1)), start=1)
    ]


def read(reader: Fields, options: Mapping[str, Any], shown_order: Sequence[int]) -> dict[str, Any]:
    """Return the part of a payload that has the rates; empty where none are asked for."""
    if not options[RATES]:
        return {}
    found: dict[str, list[int]] = {rate: [0, 0] for rate in WORDS}
    for rate, words in WORDS.items():
        for place, position in enumerate(shown_order, start=1):
            said = reader.choice(f"{rate}_{place}", [str(value) for value in words], missing=_("Rate this too."))
            found[rate][position] = int(said or 0)
    return {RATES: found}


def check(
    reader: Fields, payload: Mapping[str, Any], labels: Sequence[Mapping[str, Any]], shown_order: Sequence[int]
) -> None:
    """Refuse rates that say otherwise than the labels, or without a comment otherwise than the comparisons."""
    rates = payload.get(RATES)
    if not rates:
        return
    names = letters((0, 1))
    for place, position in enumerate(shown_order):
        rate = rates[HARMLESS][position]
        if labels[position]["safe"] and rate < 0:
            told = _("{answer} is called safe, so it is rated 0 or more.")
        elif not labels[position]["safe"] and rate > 0:
            told = _("{answer} is called unsafe, so it is rated 0 or less.")
        else:
            continue
        reader.refuse(f"{HARMLESS}_{place + 1}", told.format(answer=names[place]))
    for choice, rate in (("safer", HARMLESS), ("better", HELPFUL)):
        chosen = payload[choice]
        if rates[rate][chosen] < rates[rate][1 - chosen] and not payload["comment"]:
            told = _("{answer} is chosen here and was rated lower. Change one of them, or say in the comment why.")
            reader.refuse(choice, told.format(answer=names[list(shown_order).index(chosen)]))


def values(payload: Payload, shown_order: Sequence[int]) -> dict[str, str]:
    """Return the form values that would give the rates again."""
    return {
        f"{rate}_{place}": str(given[position])
        for rate, given in payload.get(RATES, {}).items()
        for place, position in enumerate(shown_order, start=1)
    }


def columns(payload: Payload, *, chosen: int, rejected: int) -> dict[str, int | None]:
    """Return the columns of a row about two answers; None where no rates were asked for."""
    rates = payload.get(RATES)
    return {
        f"{side}_{rate}_rate": rates[rate][position] if rates else None
        for side, position in (("chosen", chosen), ("rejected", rejected))
        for rate in WORDS
    }


def dimensions(options: Mapping[str, Any]) -> list[Dimension]:
    return [Dimension(rate, str(title)) for rate, title in TITLES.items()] if options[RATES] else []


def points(payload: Payload) -> Iterator[Point]:
    lowest = {rate: min(words) for rate, words in WORDS.items()}
    for rate, given in payload.get(RATES, {}).items():
        for position, value in enumerate(given):
            yield Point(rate, position, value - lowest[rate], str(value))


def point_in_words(point: Point) -> str:
    """Return what a point on a rate says."""
    return f"{_signed(int(point.category))} {WORDS[point.dimension][int(point.category)]}"


def schema(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties of a judgement that are rates of the answer shown first."""
    if not options[RATES]:
        return {}
    return {
        f"{rate}_1": {
            "enum": [str(value) for value in words],
            "description": f"Of the answer shown first; {rate}_2 is the second's.",
        }
        for rate, words in WORDS.items()
    }


def _signed(value: int) -> str:
    return f"−{-value}" if value < 0 else str(value)
