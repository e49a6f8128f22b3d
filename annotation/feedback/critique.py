"""A critique of each answer in words: what is good, what is not, and a score.

Payload: ``{"critiques": [{"strengths": str, "weaknesses": str, "score": 1..5 | null}, …]}``, one per completion in
canonical order, with ``"passages": {"strengths"|"weaknesses": [str, …]}`` where passages of the answer were marked.
Free text on one answer is HelpSteer3's "feedback" (Z. Wang et al., 2025); strengths and weaknesses are asked apart,
because a critique that only finds faults trains a model that only finds faults.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotation.dialogues import SCOPES
from annotation.feedback import needed, starters
from annotation.feedback.base import Dimension, FeedbackType, Payload, Point
from annotation.feedback.fields import (
    Fields,
    Options,
    answer_columns,
    letters,
    named_answers,
    question_schema,
    quoted,
    review_schema,
    shortened,
)
from annotation.feedback.spans import as_evidence
from annotation.messages import Content, text_of

SCORES = {
    1: gettext_lazy("very bad"),
    2: gettext_lazy("bad"),
    3: gettext_lazy("middling"),
    4: gettext_lazy("good"),
    5: gettext_lazy("very good"),
}
MAX_TEXT = 10_000
LONGEST_MINIMUM = 2_000
PARTS = {
    "strengths": gettext_lazy("What is good about it"),
    "weaknesses": gettext_lazy("What is not, and what should change"),
}
DEFAULTS: dict[str, Any] = {
    "question": "What would you tell whoever wrote this?",
    "minimum": 40,
    "score": True,
    "passages": True,
    "review": True,
    **starters.DEFAULTS,
    **needed.DEFAULTS,
}
# What may be asked for in words after certain scores; both together have a least length anyway.
_TEXTS = {part: part.capitalize() for part in PARTS}
_QUESTIONS = {"score": needed.Question("Score", {str(score): str(score) for score in SCORES})}
MAX_PASSAGES = 20
MAX_PASSAGE_TEXT = 20_000


class Critique(FeedbackType):
    name = "critique"
    title = gettext_lazy("Write a critique")
    template = "feedback/critique.html"
    defaults = DEFAULTS
    completions = (1, 2)
    views = ("critiques",)
    scopes = tuple(SCOPES)
    layout = "side"
    written = PARTS

    def option_properties(self) -> dict[str, Any]:
        return {
            "question": question_schema(DEFAULTS["question"]),
            "minimum": {
                "type": "integer",
                "title": _("Least characters"),
                "description": _("Of strengths and weaknesses together."),
                "minimum": 1,
                "maximum": LONGEST_MINIMUM,
                "default": DEFAULTS["minimum"],
            },
            "score": {"type": "boolean", "title": _("Ask for a score from 1 to 5"), "default": True},
            "passages": {
                "type": "boolean",
                "title": _("Let people mark the passages they mean"),
                "description": _("They select text in the answer while they write about it."),
                "default": True,
            },
            "review": review_schema(),
            **starters.option_properties(parts=True),
            **needed.option_properties("Weaknesses if Score is 1 or 2", _TEXTS, _QUESTIONS),
        }

    def shown_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return needed.shown({**DEFAULTS, **options}, _TEXTS, _QUESTIONS)

    def clean_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        reader = Options(options, DEFAULTS)
        reader.question()
        reader.whole("minimum", 1, LONGEST_MINIMUM)
        reader.flag("score", "passages", "review")
        starters.clean(reader)
        needed.clean(reader, _TEXTS, _QUESTIONS)
        if reader.values["needed_if"] and not reader.values["score"]:
            reader.refuse("needed_if", _("A score is not asked for here; ask for one, or leave this empty."))
        return reader.finish(_("Some options of the critique do not fit; see errors."))

    def context(self, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> dict[str, Any]:
        """Return ``question``, ``minimum``, ``scores`` and ``answers``: letter, fields of its texts and its score."""
        options = {**DEFAULTS, **options}
        return {
            "question": options["question"],
            "minimum": options["minimum"],
            "scores": [{"value": str(value), "words": str(words)} for value, words in SCORES.items()]
            if options["score"]
            else [],
            "answers": [
                {
                    "letter": letter,
                    "texts": [
                        {
                            "name": f"{part}_{place}",
                            "label": str(label),
                            "passages_name": f"passages_{part}_{place}",
                            "starters": starters.for_part(options["starters"], part),
                        }
                        for part, label in PARTS.items()
                    ],
                    "score_name": f"score_{place}",
                }
                for place, letter in enumerate(letters(range(len(shown_order))), start=1)
            ],
            "max_text": MAX_TEXT,
            "passages": options["passages"],
            "max_passages": MAX_PASSAGE_TEXT,
        }

    def parse(self, data: Mapping[str, Any], *, options: Mapping[str, Any], shown_order: Sequence[int]) -> Payload:
        options = {**DEFAULTS, **options}
        reader = Fields(data)
        critiques: list[dict[str, Any]] = [{} for _place in shown_order]
        for place, position in enumerate(shown_order, start=1):
            texts = {part: reader.text(f"{part}_{place}", most=MAX_TEXT) for part in PARTS}
            written = sum(len(text) for text in texts.values())
            if written < options["minimum"]:
                told = _(
                    "Strengths and weaknesses together have {n} characters; at least {least} are asked for. Say what "
                    "it is about, and where."
                )
                reader.refuse(f"weaknesses_{place}", told.format(n=written, least=options["minimum"]))
            score = None
            if options["score"]:
                given_score = reader.choice(f"score_{place}", [str(one) for one in SCORES], missing=_("Give a score."))
                score = int(given_score or 1)
            given = {part: needed.Text(f"{part}_{place}", text) for part, text in texts.items()}
            said = [{"score": str(score)}]
            needed.check(reader, options["needed_if"], said, given, texts=_TEXTS, questions=_QUESTIONS)
            critiques[position] = {**texts, "score": score}
            if options["passages"] and (marked := _marked(reader, place)):
                critiques[position]["passages"] = marked
        reader.finish()
        return {"critiques": critiques}

    def initial(self, payload: Payload, *, shown_order: Sequence[int]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for place, position in enumerate(shown_order, start=1):
            one = payload["critiques"][position]
            values |= {f"{part}_{place}": one[part] for part in PARTS}
            for part, passages in one.get("passages", {}).items():
                values[f"passages_{part}_{place}"] = "\n".join(passages)
            if one["score"] is not None:
                values[f"score_{place}"] = str(one["score"])
        return values

    def describe(
        self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int] | None = None
    ) -> str:
        names = named_answers(len(payload["critiques"]), shown_order)
        parts = []
        for name, position in names:
            one = payload["critiques"][position]
            words = " ".join(one[part] for part in PARTS if one[part])
            short = quoted(shortened(words))
            said = f"{SCORES[one['score']]}: {short}" if one["score"] is not None else short
            parts.append(f"{name} {said}" if len(names) > 1 else said[0].upper() + said[1:])
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
        if view != "critiques":
            return
        for position, one in enumerate(payload["critiques"]):
            yield {
                **answer_columns(position, texts=texts, origins=origins, shown_order=shown_order),
                "critique": "\n\n".join(one[part] for part in PARTS if one[part]),
                "strengths": one["strengths"],
                "weaknesses": one["weaknesses"],
                "score": one["score"],
                "passages": [
                    {"about": part, **(as_evidence(text_of(texts[position]), passage) or {})}
                    for part, passages in one.get("passages", {}).items()
                    for passage in passages
                ],
            }

    def dimensions(self, options: Mapping[str, Any]) -> list[Dimension]:
        return [Dimension("score", _("Score"))] if {**DEFAULTS, **options}["score"] else []

    def points(self, payload: Payload) -> Iterator[Point]:
        for position, one in enumerate(payload["critiques"]):
            if one["score"] is not None:
                yield Point("score", position, one["score"], str(one["score"]))

    def tally_labels(self, options: Mapping[str, Any]) -> list[str]:
        return [f"{value}: {words}" for value, words in SCORES.items()] if {**DEFAULTS, **options}["score"] else []

    def tally(self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> list[str]:
        scores = [one["score"] for one in payload["critiques"]]
        return [f"{score}: {SCORES[score]}" if score is not None else _("Without a score") for score in scores]

    def json_schema(self, options: Mapping[str, Any]) -> dict[str, Any]:
        options = {**DEFAULTS, **options}
        properties: dict[str, Any] = {
            f"{part}_1": {
                "type": "string",
                "maxLength": MAX_TEXT,
                "description": f"{label}; of the answer shown first, _2 is the second's.",
            }
            for part, label in PARTS.items()
        }
        if options["passages"]:
            properties |= {
                f"passages_{part}_1": {
                    "type": "string",
                    "maxLength": MAX_PASSAGE_TEXT,
                    "description": f"Passages of the answer that its {part} are about, one per line.",
                }
                for part in PARTS
            }
        required = []
        if options["score"]:
            properties["score_1"] = {"description": "1 is very bad, 5 very good.", "enum": [str(one) for one in SCORES]}
            required.append("score_1")
        return {"type": "object", "properties": properties, "required": required}


def _marked(reader: Fields, place: int) -> dict[str, list[str]]:
    """Return the passages that were marked in one answer, by what they are about; none for what nobody marked."""
    marked = {}
    for part in PARTS:
        name = f"passages_{part}_{place}"
        lines = [line.strip() for line in reader.text(name, most=MAX_PASSAGE_TEXT).splitlines()]
        passages = [line for line in lines if line]
        if len(passages) > MAX_PASSAGES:
            reader.refuse(name, _("Mark at most {most} passages.").format(most=MAX_PASSAGES))
        if passages:
            marked[part] = passages
    return marked
