"""A critique of one answer, and the principles it speaks of: proposed from the person's own words, then confirmed.

Payload: ``{"critique": str, "principles": [{"statement": str, "key": str | null, "answer": "yes"|"partly"|"no",
"evidence": {"text", "start", "end"} | null, "proposed_by": str | null, "changed": bool, "proposed": {…}}, …],
"rejected": [{"statement", "answer", "evidence", "proposed_by"}, …], "listed": [key, …]}``. `evidence` is a passage of
the critique with its place there; `key` is a principle of the campaign's list, and `listed` are all of them then;
`proposed` is there when the person changed what was proposed. Nothing that was proposed is among `principles` unless
the person answered it.

Feedback in words first, principles from it afterwards, is how Z. Wang et al., "RLBFF" (2025), section 2, make their
data from HelpSteer3; there nobody confirms what the model extracts. "Partly" is kept apart: it is left out of training
there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from annotation.extraction.checks import MAX_STATEMENT, MOST
from annotation.feedback import starter_principles, starters, worded
from annotation.feedback.base import Dimension, FeedbackType, Payload, Point
from annotation.feedback.fields import (
    Fields,
    Options,
    answer_columns,
    key_of,
    lines_schema,
    question_schema,
    quoted,
    review_schema,
    shortened,
    titles_of,
)
from annotation.feedback.likeness import HALF, Likeness
from annotation.feedback.merging import Part
from annotation.feedback.principles import DEFAULTS as PRINCIPLES
from annotation.feedback.principles import MOST_PRINCIPLES
from annotation.feedback.slots import ANSWERS, MAX_EVIDENCE, MAX_NAME, REJECT, Slot, aligned_slots, names, slot_parts
from annotation.feedback.slots import values as slot_values
from annotation.messages import Content

UNMENTIONED = "unmentioned"
OTHER = gettext_lazy("Other")
MOST_WORDS = 1_000
DEFAULTS: dict[str, Any] = {
    "question": "What would you tell whoever wrote this?",
    "minimum_words": 50,
    "principles": PRINCIPLES["principles"],
    "least_principles": 1,
    "review": True,
    **starters.DEFAULTS,
}


class PrincipledCritique(FeedbackType):
    name = "principled_critique"
    title = gettext_lazy("Write a critique, confirm its principles")
    template = "feedback/principled_critique.html"
    defaults = DEFAULTS
    completions = (1, 1)
    views = ("principles", "critiques")
    layout = "side"
    has_rules = True
    written = {"critique": gettext_lazy("The critique")}
    MAX_TEXT = 10_000

    def option_properties(self) -> dict[str, Any]:
        return {
            "question": question_schema(DEFAULTS["question"]),
            "minimum_words": {
                "type": "integer",
                "title": _("Least words of a critique"),
                "minimum": 1,
                "maximum": MOST_WORDS,
                "default": DEFAULTS["minimum_words"],
            },
            "principles": {
                **lines_schema(
                    _("Principles"),
                    DEFAULTS["principles"],
                    _(
                        "What is proposed under these names if it means the same. One per line: its name, a colon, and "
                        "what it means in one sentence. Or none."
                    ),
                    least=0,
                    longest=worded.LONGEST,
                ),
                "x-offers": starter_principles.offers(),
            },
            "least_principles": {
                "type": "integer",
                "title": _("Least principles"),
                "description": _("How many have to be answered in the end, proposed or one's own."),
                "minimum": 0,
                "maximum": MOST,
                "default": DEFAULTS["least_principles"],
            },
            "review": review_schema(),
            **starters.option_properties(parts=False),
        }

    def clean_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        reader = Options(options, DEFAULTS)
        reader.question()
        reader.whole("minimum_words", 1, MOST_WORDS)
        reader.lines("principles", most=MOST_PRINCIPLES, least=0, longest=worded.LONGEST)
        worded.check(reader, "principles")
        reader.whole("least_principles", 0, MOST)
        reader.flag("review")
        starters.clean(reader)
        return reader.finish(_("Some options of the critique do not fit; see errors."))

    @staticmethod
    def listed(options: Mapping[str, Any]) -> dict[str, str]:
        """Return the campaign's own principles: each line by its key."""
        return {key_of(line): worded.plain(line) for line in {**DEFAULTS, **options}["principles"]}

    def context(self, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> dict[str, Any]:
        """Return ``question``, ``minimum_words``, ``choices``, ``listed``, and ``slots``: the fields of a principle."""
        options = {**DEFAULTS, **options}
        return {
            "question": options["question"],
            "minimum_words": options["minimum_words"],
            "starters": starters.for_part(options["starters"], ""),
            "max_text": self.MAX_TEXT,
            "max_statement": MAX_STATEMENT,
            "max_evidence": MAX_EVIDENCE,
            "choices": [{"value": value, "label": str(label), "key": key} for value, (label, key) in ANSWERS.items()],
            "listed": [{"title": one.title, "meaning": one.meaning} for one in map(worded.read, options["principles"])],
            "slots": [{"number": number, **names(number)} for number in range(1, MOST + 1)],
        }

    def parse(self, data: Mapping[str, Any], *, options: Mapping[str, Any], shown_order: Sequence[int]) -> Payload:
        options = {**DEFAULTS, **options}
        reader = Fields(data)
        least = min(1, options["minimum_words"])
        critique = reader.text("critique", most=self.MAX_TEXT, least=least, missing=_("Write your critique here."))
        words = len(critique.split())
        if critique and words < options["minimum_words"]:
            asked = _("This has {n} words; at least {least} are asked for. Say what it is about, and where.")
            reader.refuse("critique", asked.format(n=words, least=options["minimum_words"]))
        listed = self.listed(options)
        principles: list[dict[str, Any]] = []
        rejected: list[dict[str, Any]] = []
        places: dict[str, int] = {}
        for number in range(1, MOST + 1):
            slot = Slot(reader, number)
            if slot.is_empty:
                continue
            if slot.answer == REJECT:
                if slot.proposed_by:
                    rejected.append(slot.as_rejected())
                continue
            one = slot.as_principle(critique, listed)
            # One principle has one answer; it comes twice when two wordings of it were confirmed.
            meant = one["key"] or key_of(one["statement"])
            if meant in places:
                twice = _("This is the same principle as number {n}; reject one of the two, or word it differently.")
                reader.refuse(names(number)["statement"], twice.format(n=places[meant]))
            places.setdefault(meant, number)
            principles.append(one)
        if len(principles) < options["least_principles"]:
            asked = _("Answer at least {least} principles that your critique speaks of; {n} are answered.")
            reader.refuse("principles", asked.format(least=options["least_principles"], n=len(principles)))
        reader.finish()
        return {"critique": critique, "principles": principles, "rejected": rejected, "listed": list(listed)}

    def initial(self, payload: Payload, *, shown_order: Sequence[int]) -> dict[str, Any]:
        values: dict[str, Any] = {"critique": payload["critique"]}
        for number, one in enumerate(payload["principles"], start=1):
            evidence = one["evidence"]["text"] if one["evidence"] else ""
            said = {"statement": one["statement"], "answer": one["answer"], "evidence": evidence}
            values |= slot_values(number, said, proposed_by=one["proposed_by"], proposed=one.get("proposed", said))
        for number, one in enumerate(payload["rejected"], start=len(payload["principles"]) + 1):
            values |= slot_values(number, {**one, "answer": REJECT}, proposed_by=one["proposed_by"], proposed=one)
        return values

    def aligned(self, said: Sequence[Mapping[str, Any]], *, options: Mapping[str, Any]) -> list[dict[str, Any]]:
        return aligned_slots(said, self.listed(options))

    def parts(self, said: Sequence[Mapping[str, Any]], *, options: Mapping[str, Any]) -> list[Part]:
        """Return the critique, and each principle that anybody spoke of, under its key in the campaign's list."""
        return [*super().parts(said, options=options), *slot_parts(said, self.listed(options))]

    def describe(
        self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int] | None = None
    ) -> str:
        titles = titles_of({**DEFAULTS, **options}["principles"])
        said = [
            f"{titles.get(one['key'], one['statement'])}: {ANSWERS[one['answer']][0].lower()}"
            for one in payload["principles"]
        ]
        if payload["rejected"]:
            said.append(_("{n} proposed and rejected").format(n=len(payload["rejected"])))
        short = quoted(shortened(" ".join(payload["critique"].split())))
        return f"{short} {', '.join(said)}".strip()

    def rows(
        self,
        view: str,
        payload: Payload,
        *,
        texts: Sequence[Content],
        origins: Sequence[str],
        shown_order: Sequence[int],
    ) -> Iterator[dict[str, Any]]:
        """Yield the critique in "critiques"; each principle that was confirmed in "principles"."""
        if view not in self.views:
            return
        about = answer_columns(0, texts=texts, origins=origins, shown_order=shown_order)
        if view == "critiques":
            apart: dict[str, Any] = {"strengths": "", "weaknesses": "", "score": None, "passages": []}
            yield {**about, "critique": payload["critique"], **apart}
            return
        for one in payload["principles"]:
            yield {
                **about,
                "principle": one["key"] or key_of(one["statement"]),
                "principle_version": None,
                "statement": one["statement"],
                "answer": one["answer"],
                "evidence": one["evidence"],
                "evidence_in": "critique",
                "proposed_by": one["proposed_by"],
                "changed": one["changed"],
                "comment": "",
            }

    def never(self, options: Mapping[str, Any]) -> frozenset[str]:
        """Return what is made of a critique's score, or of its weaknesses: here neither is asked for."""
        return frozenset({"outcomes", "unpaired", "stepwise"})

    def dimensions(self, options: Mapping[str, Any]) -> list[Dimension]:
        """Return the campaign's own principles; those that people word themselves have nothing to be compared with."""
        titles = titles_of({**DEFAULTS, **options}["principles"])
        return [Dimension(key, title, ordered=False) for key, title in titles.items()]

    def points(self, payload: Payload) -> Iterator[Point]:
        """Yield an answer for each principle of the list; one that a critique does not speak of is a class as well."""
        numbers = {answer: number for number, answer in enumerate([*ANSWERS, UNMENTIONED])}
        said = {one["key"]: one["answer"] for one in payload["principles"] if one["key"]}
        for key in payload["listed"]:
            answer = said.get(key, UNMENTIONED)
            yield Point(key, 0, numbers[answer], answer)

    def likenesses(self, options: Mapping[str, Any]) -> list[Likeness]:
        return [Likeness(one.name, one.title, HALF, (one.name,)) for one in self.dimensions(options)]

    def gold_points(self, payload: Payload) -> Iterator[Point]:
        """Yield the principles of the list that the critique speaks of: gold asks for those that it answers."""
        return (point for point in self.points(payload) if point.category != UNMENTIONED)

    def point_in_words(
        self, point: Point, *, options: Mapping[str, Any], shown_order: Sequence[int] | None = None
    ) -> str:
        return ANSWERS[point.category][0].lower() if point.category in ANSWERS else _("not mentioned")

    def tally_labels(self, options: Mapping[str, Any]) -> list[str]:
        titles = [*titles_of({**DEFAULTS, **options}["principles"]).values(), OTHER]
        return [
            *(f"{title}: {label.lower()}" for title in titles for label, _key in ANSWERS.values()),
            pgettext("principle", "Rejected"),
        ]

    def tally(self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> list[str]:
        titles = titles_of({**DEFAULTS, **options}["principles"])
        said = [
            f"{titles.get(one['key'], OTHER)}: {ANSWERS[one['answer']][0].lower()}" for one in payload["principles"]
        ]
        return said + [pgettext("principle", "Rejected")] * len(payload["rejected"])

    def json_schema(self, options: Mapping[str, Any]) -> dict[str, Any]:
        options = {**DEFAULTS, **options}
        text = {"type": "string"}
        name = names(1)
        properties: dict[str, Any] = {
            "critique": {
                **text,
                "minLength": 1,
                "maxLength": self.MAX_TEXT,
                "description": f"What is good about the answer and what is not, in {options['minimum_words']} words or "
                "more.",
            },
            name["statement"]: {
                **text,
                "maxLength": MAX_STATEMENT,
                "description": f"A principle the critique speaks of; principle_2_statement is the next, up to {MOST}.",
            },
            name["answer"]: {
                "enum": [*ANSWERS, REJECT],
                "description": "Whether the answer meets it; reject for one that was proposed and is none.",
            },
            name["evidence"]: {
                **text,
                "maxLength": MAX_EVIDENCE,
                "description": "The passage of the critique that says so, word for word; may be empty.",
            },
            name["proposed_by"]: {
                **text,
                "maxLength": MAX_NAME,
                "description": "Who proposed it, as it came with the proposal; left out for one's own.",
            },
            name["proposed"]: {**text, "description": "Its statement as it was proposed."},
            name["proposed_answer"]: {"enum": [*ANSWERS, ""], "description": "The answer that was proposed."},
            name["proposed_evidence"]: {**text, "description": "The passage that was proposed."},
        }
        return {"type": "object", "properties": properties, "required": ["critique"]}
