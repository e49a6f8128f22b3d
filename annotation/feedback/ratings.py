"""Ratings from 0 to 4 of each answer on several attributes, each point with its own words (HelpSteer2's form).

Payload: ``{"ratings": [{attribute: 0..4, …}, …], "comment": str}``, one object per completion in canonical order; what
was not asked about one is left out. The attributes and their meaning are those of Z. Wang et al., "HelpSteer2" (2024),
section 2; the words of the points are ours. With reasons, and with how sure people are, where the campaign asks for
them: see `annotation.feedback.scales`; with ``"flags"`` where it has some: see `annotation.feedback.flags`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotation.dialogues import SCOPES
from annotation.feedback import flags, rules, scales
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
    titles_of,
)
from annotation.messages import Content

DEFAULTS: dict[str, Any] = {
    "question": "How good is each answer?",
    "attributes": [
        "Helpfulness: no use or harmful | poor | helps with half of it | good, with a flaw | nothing to add",
        "Correctness: all wrong | mostly wrong | right and wrong mixed | right but for a detail | all right",
        "Coherence: cannot be followed | often unclear | partly clear | clear, with a slip | clear and consistent",
        "Complexity: a child could write it | everyday words | some knowledge | good knowledge | a specialist's",
        "Verbosity: far too terse | short | about right | long | exhaustive",
    ],
    "reasons": "off",
    "confidence": False,
    "flags": [],
    "more_skips": False,
    "comment": "optional",
    **rules.DEFAULTS,
}


class Ratings(FeedbackType):
    name = "ratings"
    title = gettext_lazy("Rate answers from 0 to 4")
    template = "feedback/ratings.html"
    defaults = DEFAULTS
    completions = (1, 8)
    views = ("ratings",)
    scopes = tuple(SCOPES)
    layout = "side"

    def option_properties(self) -> dict[str, Any]:
        return {
            "question": question_schema(DEFAULTS["question"]),
            "attributes": lines_schema(_("Attributes"), DEFAULTS["attributes"], str(scales.LINES)),
            "reasons": scales.reasons_schema(),
            "confidence": scales.confidence_schema(),
            "flags": flags.option_schema(),
            "more_skips": {
                "type": "boolean",
                "title": _("Offer more reasons to skip an item"),
                "description": _("Personal data, another language, real programming, a question about the assistant."),
                "default": False,
            },
            "comment": comment_schema(),
            **rules.option_properties(
                ("Complexity if Helpfulness is 3 or 4", "Helpfulness is 4 and Correctness is 0"),
                asked_in="attributes",
                words=list(scales.VALUES),
            ),
        }

    def shown_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        options = {**DEFAULTS, **options}
        return rules.shown(options, titles_of(options["attributes"]), scales.VALUES)

    def clean_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        reader = Options(options, DEFAULTS)
        reader.question()
        reader.choice("comment", COMMENT_MODES)
        reader.flag("confidence", "more_skips")
        scales.clean(reader)
        reader.lines("flags", most=flags.MOST_FLAGS, least=0)
        if reader.values["flags"]:
            flags.refuse_alike(reader)
        rules.clean(reader, titles_of(reader.values["attributes"]), scales.VALUES)
        return reader.finish(_("Some options of the rating do not fit; see errors."))

    def context(self, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> dict[str, Any]:
        """Return ``question``, ``comment`` and ``answers``: letter, and rows of name, title, and points with words."""
        options = {**DEFAULTS, **options}
        asked = _rules(options)
        answers = []
        for place, letter in enumerate(letters(range(len(shown_order))), start=1):
            rows = [
                {
                    **scales.row(line, place, options["reasons"]),
                    "confidence_name": f"confidence_{key_of(line)}_{place}" if options["confidence"] else "",
                    **asked.marks(key_of(line), place),
                }
                for line in options["attributes"]
            ]
            answers.append({"letter": letter, "rows": rows, "flags": flags.drawn(options["flags"], place)})
        return {
            "question": options["question"],
            "answers": answers,
            "confidence": list(scales.CONFIDENCE.items()),
            "comment": options["comment"],
            "max_comment": MAX_COMMENT,
        }

    def parse(self, data: Mapping[str, Any], *, options: Mapping[str, Any], shown_order: Sequence[int]) -> Payload:
        options = {**DEFAULTS, **options}
        reader = Fields(data)
        rated = scales.read(reader, options, shown_order, asked=_rules(options))
        rated |= flags.read(reader, options["flags"], shown_order)
        comment = reader.comment(options["comment"])
        reader.finish()
        return {**rated, "comment": comment}

    def initial(self, payload: Payload, *, shown_order: Sequence[int]) -> dict[str, Any]:
        beside = flags.values(payload, shown_order)
        return {"comment": payload["comment"], **scales.values(payload, shown_order), **beside}

    def describe(
        self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int] | None = None
    ) -> str:
        titles = _titles(options)
        names = named_answers(len(payload["ratings"]), shown_order)
        flagged = titles_of({**DEFAULTS, **options}["flags"])
        parts = []
        for name, position in names:
            sure = scales.columns(payload, position)["confidence"]
            said = [
                f"{titles.get(key, key)} {value}" + (f" ({scales.CONFIDENCE[str(sure[key])]})" if key in sure else "")
                for key, value in payload["ratings"][position].items()
            ]
            said += [flagged.get(key, key) for key in flags.raised(payload, position)]
            parts.append(f"{name}: {', '.join(said)}" if len(names) > 1 else ", ".join(said))
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
        for position in range(len(payload["ratings"])):
            yield {
                **answer_columns(position, texts=texts, origins=origins, shown_order=shown_order),
                **scales.columns(payload, position),
                "flags": flags.raised(payload, position),
                "comment": payload["comment"],
            }

    def dimensions(self, options: Mapping[str, Any]) -> list[Dimension]:
        rated = [Dimension(key, title) for key, title in _titles(options).items()]
        return [*rated, *flags.dimensions({**DEFAULTS, **options}["flags"])]

    def points(self, payload: Payload) -> Iterator[Point]:
        yield from scales.points(payload)
        yield from flags.points(payload)

    def point_in_words(
        self, point: Point, *, options: Mapping[str, Any], shown_order: Sequence[int] | None = None
    ) -> str:
        return flags.point_in_words(point) or point.category

    def tally_labels(self, options: Mapping[str, Any]) -> list[str]:
        return [*scales.tally_labels(_titles(options)), *titles_of({**DEFAULTS, **options}["flags"]).values()]

    def tally(self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> list[str]:
        titles, flagged = _titles(options), titles_of({**DEFAULTS, **options}["flags"])
        said = [words for one in payload["ratings"] for words in scales.in_words(one, titles)]
        raised = [key for position in range(len(payload["ratings"])) for key in flags.raised(payload, position)]
        return [*said, *(flagged.get(key, key) for key in raised)]

    def json_schema(self, options: Mapping[str, Any]) -> dict[str, Any]:
        options = {**DEFAULTS, **options}
        properties: dict[str, Any] = {
            "comment": {"type": "string", "maxLength": MAX_COMMENT},
        }
        properties |= scales.json_schema(options["attributes"], options["reasons"])
        if options["confidence"]:
            sure = {
                "enum": list(scales.CONFIDENCE),
                "description": "How sure you are: 1 unsure, 2 fairly, 3 sure.",
            }
            properties |= {f"confidence_{key_of(line)}_1": sure for line in options["attributes"]}
        properties |= flags.json_schema(options["flags"])
        always = [line for line in options["attributes"] if key_of(line) not in _rules(options).asked_if]
        required = [f"{key_of(line)}_1" for line in always]
        if options["reasons"] == "required":
            required += [f"reason_{name}" for name in required]
        if options["comment"] == "required":
            required.append("comment")
        return {"type": "object", "properties": properties, "required": required}


def _titles(options: Mapping[str, Any]) -> dict[str, str]:
    return titles_of({**DEFAULTS, **options}["attributes"])


def _rules(options: Mapping[str, Any]) -> rules.Rules:
    return rules.rules_of(options, titles_of(options["attributes"]), scales.VALUES)
