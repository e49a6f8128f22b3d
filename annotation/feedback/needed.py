"""Texts that a lead asks for after certain answers, and that may stay empty else.

Written as lines, as in `annotation.feedback.rules`, which a form shows as they are and an error quotes::

    Comment if Safe is unsafe
    Weaknesses if Score is 1 or 2
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from annotation.feedback.fields import MAX_QUESTION, Fields, Options, key_of
from annotation.feedback.rules import MOST_RULES, Condition, clean_lines, condition

DEFAULTS: dict[str, Any] = {"needed_if": []}


@dataclass(frozen=True)
class Question:
    """What a text may depend on: its title, and the value of each word that may stand for an answer."""

    title: str
    answers: Mapping[str, str]


@dataclass(frozen=True)
class Text:
    """A text as it was given: in which field, and what."""

    field: str
    value: str


def check(
    reader: Fields,
    lines: Sequence[str],
    said: Sequence[Mapping[str, str]],
    given: Mapping[str, Text],
    *,
    texts: Mapping[str, str],
    questions: Mapping[str, Question],
) -> None:
    """Refuse, in `reader`, each text that is needed and empty. `said` are the answers to the questions, of each answer.

    `texts` are the titles of those that can be needed, by key; `given` what was written, by the same keys.
    """
    for line in lines:
        text, needed = _read(line, texts, questions)
        if not given[text].value and any(needed.holds(one) for one in said):
            told = _("The rule here: “{line}”. Write this, or change the answer it depends on.")
            reader.refuse(given[text].field, told.format(line=line))


def clean(reader: Options, texts: Mapping[str, str], questions: Mapping[str, Question]) -> None:
    """Check the option, and refuse in `reader` each line that does not fit, with the reason."""
    clean_lines(reader, "needed_if", lambda line: _read(line, texts, questions))


def option_properties(example: str, texts: Mapping[str, str], questions: Mapping[str, Question]) -> dict[str, Any]:
    """Return the JSON Schema of the option; `example` is a line of it."""
    described = _("One rule per line, such as: {example}. Else the text may stay empty.")
    return {
        "needed_if": {
            "type": "array",
            "items": {"type": "string", "maxLength": MAX_QUESTION},
            "maxItems": MOST_RULES,
            "title": _("Asked for in words"),
            "description": described.format(example=example),
            "default": [],
            "x-rule": {
                "shape": "need",
                "texts": list(texts.values()),
                "questions": {one.title: list(one.answers) for one in questions.values()},
            },
        }
    }


def _read(line: str, texts: Mapping[str, str], questions: Mapping[str, Question]) -> tuple[str, Condition]:
    """Return which text a line asks for, and when; raises ValueError with the reason."""
    wanted, rest = [*re.split(r"\bif\b", line, maxsplit=1, flags=re.I), ""][:2]
    wanted = key_of(wanted)
    if wanted not in texts:
        names, asked = ", ".join(texts.values()), ", ".join(one.title for one in questions.values())
        told = _("write it as “Text if Question is value”; the texts are {texts}, the questions {questions}.")
        raise ValueError(told.format(texts=names, questions=asked))
    for match in re.finditer(r"\bis\b", rest, re.I):
        key = key_of(rest[: match.start()])
        if key in questions:
            return wanted, condition(rest, {key: questions[key].title}, questions[key].answers)
    return wanted, condition(rest, {key: one.title for key, one in questions.items()}, {})
