"""Is a principle met by an answer: yes, no, partly or not applicable, with the passage that shows it (RLBFF).

Payload: ``{"principles": [{principle: {"answer": "yes"|"no"|"partly"|"na", "evidence": str}}, …], "comment": str}``,
one object per completion in canonical order; what was not asked about one is left out. One answer at a time and two
clear values, as Z. Wang et al., "RLBFF" (2025), section 2 argue: no position bias, nothing to calibrate; "partly" is
kept apart, since it is left out of training there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotation.dialogues import SCOPES
from annotation.feedback import of_item, rules, starter_principles, worded
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
from annotation.feedback.likeness import HALF, Likeness
from annotation.feedback.spans import as_evidence
from annotation.messages import Content, text_of

# Value, label, key.
ANSWERS = {
    "yes": (gettext_lazy("Yes"), "y"),
    "no": (gettext_lazy("No"), "n"),
    "partly": (gettext_lazy("Partly"), "p"),
    "na": (gettext_lazy("Does not apply"), "-"),
}
MOST_PRINCIPLES = 30
MAX_EVIDENCE = 2_000
DEFAULTS: dict[str, Any] = {
    "question": "Which of these does the answer do?",
    "principles": starter_principles.named(
        *("Accuracy of information", "Follows every instruction", "States uncertainty", "Clear", "Concise"),
        *("Suitable tone", "No instructions for harm"),
    ),
    "evidence": True,
    "comment": "optional",
    **rules.DEFAULTS,
}
# What a rule may call an answer.
_VALUES = {**{value: value for value in ANSWERS}, "does not apply": "na"}


GOLD = "is_gold"


class Principles(FeedbackType):
    name = "principles"
    title = gettext_lazy("Check principles: yes or no")
    template = "feedback/principles.html"
    defaults = DEFAULTS
    completions = (1, 2)
    views = ("principles",)
    scopes = tuple(SCOPES)
    layout = "side"

    def option_properties(self) -> dict[str, Any]:
        return {
            "question": question_schema(DEFAULTS["question"]),
            "principles": {
                **lines_schema(
                    _("Principles"),
                    DEFAULTS["principles"],
                    _(
                        "One per line: its name, a colon, and what it means in one sentence. If you like, after a | "
                        "each: yes: an example that meets it, no: one that does not, if: when it applies, for: the "
                        "domains of the items it is asked about (or image, dialogue), with commas between them."
                    ),
                    longest=worded.LONGEST,
                ),
                "x-offers": starter_principles.offers(),
            },
            "evidence": {
                "type": "boolean",
                "title": _("Let people mark the passage that shows it"),
                "description": _("They select text in the answer while the principle is active."),
                "default": True,
            },
            "comment": comment_schema(),
            **rules.option_properties(
                ("Concise if Clear is yes or partly", "Clear is no and Suitable tone is yes"),
                asked_in="principles",
                words=[*(value for value in ANSWERS if value != "na"), "does not apply"],
            ),
        }

    def shown_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        options = {**DEFAULTS, **options}
        return rules.shown(options, titles_of(options["principles"]), _VALUES)

    def clean_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        reader = Options(options, DEFAULTS)
        reader.question()
        reader.choice("comment", COMMENT_MODES)
        reader.flag("evidence")
        reader.lines("principles", most=MOST_PRINCIPLES, longest=worded.LONGEST)
        worded.check(reader, "principles")
        lines = reader.values["principles"] if not reader.errors.get("principles") else []
        if lines and all(worded.read(line).subjects for line in lines):
            reader.refuse("principles", _("Leave at least one principle without “for:”, to be asked about every item."))
        rules.clean(reader, titles_of(reader.values["principles"]), _VALUES)
        return reader.finish(_("Some options of the principles do not fit; see errors."))

    def context(self, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> dict[str, Any]:
        """Return ``question``, ``choices``, ``evidence``, ``comment`` and ``answers``, each with its rows."""
        options = {**DEFAULTS, **options}
        asked = _rules(options)
        return {
            "question": options["question"],
            "choices": [{"value": value, "label": str(label), "key": key} for value, (label, key) in ANSWERS.items()],
            "evidence": options["evidence"],
            "answers": [
                {
                    "letter": letter,
                    "rows": [
                        {
                            "name": f"{key_of(line)}_{place}",
                            "evidence_name": f"evidence_{key_of(line)}_{place}",
                            "said": worded.read(line),
                            **asked.marks(key_of(line), place),
                        }
                        for line in options["principles"]
                        if of_item.is_for(line, options)
                    ],
                }
                for place, letter in enumerate(letters(range(len(shown_order))), start=1)
            ],
            "max_evidence": MAX_EVIDENCE,
            "comment": options["comment"],
            "max_comment": MAX_COMMENT,
        }

    def parse(self, data: Mapping[str, Any], *, options: Mapping[str, Any], shown_order: Sequence[int]) -> Payload:
        options = {**DEFAULTS, **options}
        reader = Fields(data)
        asked = _rules(options)
        said: list[dict[str, Any]] = [{} for _place in shown_order]
        for place, position in enumerate(shown_order, start=1):
            answers: dict[str, str] = {}
            for line in options["principles"]:
                key = key_of(line)
                if not asked.asks(key, answers) or not _is_asked(line, key, place, options, data):
                    continue
                answers[key] = answer = reader.choice(f"{key}_{place}", ANSWERS, missing=_("Answer this too."))
                evidence = reader.text(f"evidence_{key}_{place}", most=MAX_EVIDENCE) if options["evidence"] else ""
                said[position][key] = {"answer": answer, "evidence": evidence, "version": worded.read(line).version}
            asked.check(reader, answers, place)
        comment = reader.comment(options["comment"])
        reader.finish()
        return {"principles": said, "comment": comment}

    def initial(self, payload: Payload, *, shown_order: Sequence[int]) -> dict[str, Any]:
        values: dict[str, Any] = {"comment": payload["comment"]}
        for place, position in enumerate(shown_order, start=1):
            for key, said in payload["principles"][position].items():
                values[f"{key}_{place}"] = said["answer"]
                values[f"evidence_{key}_{place}"] = said["evidence"]
        return values

    def describe(
        self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int] | None = None
    ) -> str:
        titles = _titles(options)
        names = named_answers(len(payload["principles"]), shown_order)
        parts = []
        for name, position in names:
            said = payload["principles"][position].items()
            words = ", ".join(f"{titles.get(key, key)}: {ANSWERS[one['answer']][0].lower()}" for key, one in said)
            parts.append(f"{name}: {words}" if len(names) > 1 else words)
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
        if view != "principles":
            return
        for position, said in enumerate(payload["principles"]):
            for key, one in said.items():
                yield {
                    **answer_columns(position, texts=texts, origins=origins, shown_order=shown_order),
                    "principle": key,
                    "principle_version": one.get("version"),
                    "statement": None,
                    "answer": one["answer"],
                    "evidence": as_evidence(text_of(texts[position]), one["evidence"]),
                    "evidence_in": "answer",
                    "proposed_by": None,
                    "changed": False,
                    "comment": payload["comment"],
                }

    def dimensions(self, options: Mapping[str, Any]) -> list[Dimension]:
        return [Dimension(key, title, ordered=False) for key, title in _titles(options).items()]

    def points(self, payload: Payload) -> Iterator[Point]:
        numbers = {answer: number for number, answer in enumerate(ANSWERS)}
        for position, said in enumerate(payload["principles"]):
            for key, one in said.items():
                yield Point(key, position, numbers[one["answer"]], one["answer"])

    def likenesses(self, options: Mapping[str, Any]) -> list[Likeness]:
        return [Likeness(one.name, one.title, HALF, (one.name,)) for one in self.dimensions(options)]

    def options_of_gold(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return {**super().options_of_gold(options), GOLD: True}

    def point_in_words(
        self, point: Point, *, options: Mapping[str, Any], shown_order: Sequence[int] | None = None
    ) -> str:
        return ANSWERS[point.category][0].lower()

    def tally_labels(self, options: Mapping[str, Any]) -> list[str]:
        return [f"{title}: {label.lower()}" for title in _titles(options).values() for label, _key in ANSWERS.values()]

    def tally(self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> list[str]:
        titles = _titles(options)
        return [
            f"{titles.get(key, key)}: {ANSWERS[one['answer']][0].lower()}"
            for said in payload["principles"]
            for key, one in said.items()
        ]

    def json_schema(self, options: Mapping[str, Any]) -> dict[str, Any]:
        options = {**DEFAULTS, **options}
        properties: dict[str, Any] = {"comment": {"type": "string", "maxLength": MAX_COMMENT}}
        for line in options["principles"]:
            key = key_of(line)
            properties[f"{key}_1"] = {
                "description": f"{worded.plain(line)}. Of the answer shown first; _2 is the second's.",
                "enum": list(ANSWERS),
            }
            if options["evidence"]:
                properties[f"evidence_{key}_1"] = {"type": "string", "maxLength": MAX_EVIDENCE}
        asked_if = _rules(options).asked_if
        always = [
            line for line in options["principles"] if key_of(line) not in asked_if and not worded.read(line).subjects
        ]
        required = [f"{key_of(line)}_1" for line in always]
        if options["comment"] == "required":
            required.append("comment")
        return {"type": "object", "properties": properties, "required": required}


def _is_asked(line: str, key: str, place: int, options: Mapping[str, Any], data: Mapping[str, Any]) -> bool:
    """Return whether the item is asked about this; in gold, which is read without its item, what it answers is."""
    if options.get(GOLD) and worded.read(line).subjects:
        return f"{key}_{place}" in data
    return of_item.is_for(line, options)


def _titles(options: Mapping[str, Any]) -> dict[str, str]:
    return titles_of({**DEFAULTS, **options}["principles"])


def _rules(options: Mapping[str, Any]) -> rules.Rules:
    return rules.rules_of(options, titles_of(options["principles"]), _VALUES)
