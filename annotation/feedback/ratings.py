"""Ratings from 0 to 4 of each answer on several attributes, each point with its own words (HelpSteer2's form).

Payload: ``{"ratings": [{attribute: 0..4, …}, …], "comment": str}``, one object per completion in canonical order; what
was not asked about one is left out. The attributes and their meaning are those of Z. Wang et al., "HelpSteer2" (2024),
section 2; the words of the points are ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from annotation.dialogues import SCOPES
from annotation.feedback import rules
from annotation.feedback.base import Dimension, FeedbackType, Payload, Point
from annotation.feedback.fields import (
    COMMENT_MODES,
    MAX_COMMENT,
    Fields,
    Options,
    answer_columns,
    comment_schema,
    key_of,
    letters,
    lines_schema,
    named_answers,
    question_schema,
    title_and_rest,
    titles_of,
)
from annotation.messages import Content

LOWEST, HIGHEST = 0, 4
MOST_ATTRIBUTES = 12
DEFAULTS: dict[str, Any] = {
    "question": "How good is each answer?",
    "attributes": [
        "Helpfulness: no use or harmful | poor | helps with half of it | good, with a flaw | nothing to add",
        "Correctness: all wrong | mostly wrong | right and wrong mixed | right but for a detail | all right",
        "Coherence: cannot be followed | often unclear | partly clear | clear, with a slip | clear and consistent",
        "Complexity: a child could write it | everyday words | some knowledge | good knowledge | a specialist's",
        "Verbosity: far too terse | short | about right | long | exhaustive",
    ],
    "comment": "optional",
    **rules.DEFAULTS,
}
# What a rule may call an answer.
_VALUES = {str(value): str(value) for value in range(LOWEST, HIGHEST + 1)}


class Ratings(FeedbackType):
    name = "ratings"
    title = "Rate answers from 0 to 4"
    template = "feedback/ratings.html"
    defaults = DEFAULTS
    completions = (1, 8)
    views = ("ratings",)
    scopes = tuple(SCOPES)
    layout = "side"

    def option_properties(self) -> dict[str, Any]:
        return {
            "question": question_schema(DEFAULTS["question"]),
            "attributes": lines_schema(
                "Attributes",
                DEFAULTS["attributes"],
                "One per line: its name, a colon, and the words for 0, 1, 2, 3 and 4 with | between them.",
            ),
            "comment": comment_schema(),
            **rules.option_properties(
                ("Complexity if Helpfulness is 3 or 4", "Helpfulness is 4 and Correctness is 0"),
                asked_in="attributes",
                words=list(_VALUES),
            ),
        }

    def clean_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        reader = Options(options, DEFAULTS)
        reader.question()
        reader.choice("comment", COMMENT_MODES)
        reader.lines("attributes", most=MOST_ATTRIBUTES)
        for line in reader.values["attributes"]:
            words = _points(line)
            if words and len(words) != HIGHEST + 1:
                reader.refuse(
                    "attributes", f"{line.partition(':')[0]!r} has {len(words)} words for its points; give 5."
                )
        rules.clean(reader, titles_of(reader.values["attributes"]), _VALUES)
        return reader.finish("Some options of the rating do not fit; see errors.")

    def context(self, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> dict[str, Any]:
        """Return ``question``, ``comment`` and ``answers``: letter, and rows of name, title, and points with words."""
        options = {**DEFAULTS, **options}
        asked = _rules(options)
        answers = []
        for place, letter in enumerate(letters(range(len(shown_order))), start=1):
            rows = [
                {
                    "name": f"{key_of(line)}_{place}",
                    "title": title_and_rest(line)[0],
                    **asked.marks(key_of(line), place),
                    "points": [
                        {"value": str(value), "words": words}
                        for value, words in enumerate(_points(line) or [""] * (HIGHEST + 1))
                    ],
                }
                for line in options["attributes"]
            ]
            answers.append({"letter": letter, "rows": rows})
        return {
            "question": options["question"],
            "answers": answers,
            "comment": options["comment"],
            "max_comment": MAX_COMMENT,
        }

    def parse(self, data: Mapping[str, Any], *, options: Mapping[str, Any], shown_order: Sequence[int]) -> Payload:
        options = {**DEFAULTS, **options}
        reader = Fields(data)
        asked = _rules(options)
        ratings: list[dict[str, int]] = [{} for _ in shown_order]
        for place, position in enumerate(shown_order, start=1):
            said: dict[str, str] = {}
            for line in options["attributes"]:
                key = key_of(line)
                if asked.asks(key, said):
                    said[key] = reader.choice(f"{key}_{place}", _VALUES, missing="Rate this too.")
            asked.check(reader, said, place)
            ratings[position] = {key: int(value or LOWEST) for key, value in said.items()}
        comment = reader.comment(options["comment"])
        reader.finish()
        return {"ratings": ratings, "comment": comment}

    def initial(self, payload: Payload, *, shown_order: Sequence[int]) -> dict[str, Any]:
        values: dict[str, Any] = {"comment": payload["comment"]}
        for place, position in enumerate(shown_order, start=1):
            for key, value in payload["ratings"][position].items():
                values[f"{key}_{place}"] = str(value)
        return values

    def describe(
        self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int] | None = None
    ) -> str:
        titles = _titles(options)
        names = named_answers(len(payload["ratings"]), shown_order)
        parts = []
        for name, position in names:
            said = ", ".join(f"{titles.get(key, key)} {value}" for key, value in payload["ratings"][position].items())
            parts.append(f"{name}: {said}" if len(names) > 1 else said)
        return "; ".join(parts)

    def rows(
        self,
        view: str,
        payload: Payload,
        *,
        texts: Sequence[Content],
        origins: Sequence[str],
        shown_order: Sequence[int],
    ) -> Iterator[dict[str, Any]]:
        if view != "ratings":
            return
        for position, ratings in enumerate(payload["ratings"]):
            yield {
                **answer_columns(position, texts=texts, origins=origins, shown_order=shown_order),
                "ratings": ratings,
                "comment": payload["comment"],
            }

    def dimensions(self, options: Mapping[str, Any]) -> list[Dimension]:
        return [Dimension(key, title) for key, title in _titles(options).items()]

    def points(self, payload: Payload) -> Iterator[Point]:
        for position, ratings in enumerate(payload["ratings"]):
            for key, value in ratings.items():
                yield Point(key, position, value, str(value))

    def tally_labels(self, options: Mapping[str, Any]) -> list[str]:
        return [f"{title} {value}" for title in _titles(options).values() for value in range(LOWEST, HIGHEST + 1)]

    def tally(self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> list[str]:
        titles = _titles(options)
        return [f"{titles.get(key, key)} {value}" for one in payload["ratings"] for key, value in one.items()]

    def json_schema(self, options: Mapping[str, Any]) -> dict[str, Any]:
        options = {**DEFAULTS, **options}
        properties: dict[str, Any] = {
            "comment": {"type": "string", "maxLength": MAX_COMMENT},
        }
        for line in options["attributes"]:
            properties[f"{key_of(line)}_1"] = {
                "description": f"{title_and_rest(line)[0]} of the answer shown first, from 0 to 4; _2 is the second's.",
                "enum": [str(value) for value in range(LOWEST, HIGHEST + 1)],
            }
        always = [line for line in options["attributes"] if key_of(line) not in _rules(options).asked_if]
        required = [f"{key_of(line)}_1" for line in always]
        if options["comment"] == "required":
            required.append("comment")
        return {"type": "object", "properties": properties, "required": required}


def _points(line: str) -> list[str]:
    """Return the words of an attribute's points; none when the line names the attribute alone."""
    _, rest = title_and_rest(line)
    return [words.strip() for words in rest.split("|")] if rest else []


def _titles(options: Mapping[str, Any]) -> dict[str, str]:
    return titles_of({**DEFAULTS, **options}["attributes"])


def _rules(options: Mapping[str, Any]) -> rules.Rules:
    return rules.rules_of(options, titles_of(options["attributes"]), _VALUES)
