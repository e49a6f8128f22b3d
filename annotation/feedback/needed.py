"""Texts that a lead asks for after certain answers, and that may stay empty else.

Written as lines, as in `annotation.feedback.rules`, which a form shows as they are and an error quotes::

    Comment if Safe is unsafe
    Weaknesses if Score is 1 or 2
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from annotation.feedback import rule_words
from annotation.feedback.fields import MAX_QUESTION, Fields, Options, key_of
from annotation.feedback.rules import MOST_RULES, Condition, Say, clean_lines, condition, each_said, in_local_words

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
            rule = _in_words((text, needed), texts, questions, rule_words.local)
            message = _("The rule here: “{line}”. Write this, or change the answer it depends on.")
            reader.refuse(given[text].field, message.format(line=rule))


def clean(reader: Options, texts: Mapping[str, str], questions: Mapping[str, Question]) -> None:
    """Check the option, and refuse in `reader` each line that does not fit, with the reason."""

    def read(line: str) -> str:
        return _in_words(_read(line, texts, questions), texts, questions, rule_words.english)

    clean_lines(reader, "needed_if", read)


def shown(options: Mapping[str, Any], texts: Mapping[str, str], questions: Mapping[str, Question]) -> dict[str, Any]:
    """Return checked options with their rules as the reader reads them."""

    def say(line: str) -> str:
        return _in_words(_read(line, texts, questions), texts, questions, rule_words.local)

    return {**options, "needed_if": each_said(options["needed_if"], say)}


def option_properties(example: str, texts: Mapping[str, str], questions: Mapping[str, Question]) -> dict[str, Any]:
    """Return the JSON Schema of the option; `example` is a line of it."""
    described = _("One rule per line, such as: {example}. Else the text may stay empty.")
    return {
        "needed_if": {
            "type": "array",
            "items": {"type": "string", "maxLength": MAX_QUESTION},
            "maxItems": MOST_RULES,
            "title": _("Asked for in words"),
            "description": described.format(example=in_local_words(example)),
            "default": [],
            "x-rule": {
                "shape": "need",
                "texts": [rule_words.local(title) for title in texts.values()],
                "questions": {
                    rule_words.local(one.title): [rule_words.local(word) for word in one.answers]
                    for one in questions.values()
                },
                "words": rule_words.joining(),
            },
        }
    }


def _in_words(
    read: tuple[str, Condition], texts: Mapping[str, str], questions: Mapping[str, Question], say: Say
) -> str:
    text, when = read
    asked = questions[when.question]
    return f"{say(texts[text])} {say('if')} {when.in_words(say(asked.title), asked.answers, say)}"


def _read(line: str, texts: Mapping[str, str], questions: Mapping[str, Question]) -> tuple[str, Condition]:
    """Return which text a line asks for, and when; raises ValueError with the reason."""
    before, rest = line, ""
    if match := next(rule_words.places("if", line), None):
        before, rest = line[: match.start()], line[match.end() :]
    named = {key_of(rule_words.local(title)): key for key, title in texts.items()} | {key: key for key in texts}
    wanted = named.get(key_of(before))
    titles = {key: one.title for key, one in questions.items()}
    if wanted is None:
        names, asked = (", ".join(map(rule_words.local, one.values())) for one in (texts, titles))
        message = _("write it as “Text if Question is value”; the texts are {texts}, the questions {questions}.")
        raise ValueError(message.format(texts=names, questions=asked))
    keys = {key_of(rule_words.local(title)): key for key, title in titles.items()} | {key: key for key in titles}
    for match in rule_words.places("is", rest):
        key = keys.get(key_of(rest[: match.start()]))
        if key is not None:
            return wanted, condition(rest, {key: titles[key]}, questions[key].answers)
    return wanted, condition(rest, titles, {})
