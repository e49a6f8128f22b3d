"""The answer as it should have been: edited from the one shown, or written anew.

Payload: ``{"text": str, "comment": str}``, with ``"language"`` where the campaign names one; in gold also ``"was"``,
the answer shown; and ``"suggested": {"by": str, "text": str}`` where a person accepted a model's rewrite, edited or
not: rows have that as the answer's origin. A demonstration to imitate (L. Ouyang et al., "InstructGPT" (2022), section
3.2), and, with the answer it was made from, a pair: HelpSteer3 calls it an "edit" (Z. Wang et al., 2025).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotation.feedback import written
from annotation.feedback.base import Dimension, FeedbackType, Payload, Point
from annotation.feedback.fields import (
    COMMENT_MODES,
    MAX_COMMENT,
    Fields,
    Options,
    comment_schema,
    question_schema,
    quoted,
    review_schema,
    shortened,
)
from annotation.feedback.likeness import CORRECTED, Likeness
from annotation.messages import Content, text_of
from annotation.readability import figures
from annotation.storable import unstorable

MAX_TEXT = 50_000
SUGGESTED = "suggested"  # of the options as they hold for one judgement, and in its payload
DEFAULTS: dict[str, Any] = {
    "question": "How should the answer have been?",
    "rated_in": "",
    "language": "",
    "comment": "optional",
    "review": True,
}
MAX_NAME = 120
# A code as BCP 47 has it, as far as it names a language.
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{2,8})*", re.I)


def origin_of(text: str, suggested: Mapping[str, str]) -> str:
    """Return who wrote `text` where a model suggested one: a row must not take a model's words for a person's."""
    edited = "" if text == suggested["text"].strip() else ", edited"
    return f"{written.ORIGIN} by {suggested['by']}{edited}"


class Rewrite(FeedbackType):
    name = "rewrite"
    title = gettext_lazy("Write a better answer")
    template = "feedback/rewrite.html"
    defaults = DEFAULTS
    completions = (1, 1)
    views = ("demonstrations", "pairs")
    layout = "side"
    written = {"text": gettext_lazy("The answer as rewritten"), **FeedbackType.written}

    def option_properties(self) -> dict[str, Any]:
        return {
            "question": question_schema(DEFAULTS["question"]),
            "rated_in": {
                "type": "string",
                "title": _("Judged in"),
                "description": _(
                    "Name of a campaign of yours whose people judge what is written here. Nobody gets their own. Leave "
                    "it empty, and nobody does."
                ),
                "maxLength": MAX_NAME,
                "default": "",
            },
            "language": {
                "type": "string",
                "title": _("Language of the answers"),
                "description": _(
                    "A code such as en or de. English, and what is left empty, gets the figures of Flesch and Kincaid "
                    "while people write; of other languages, words and sentences are counted."
                ),
                "maxLength": 35,
                "default": "",
            },
            "comment": comment_schema(),
            "review": review_schema(),
        }

    def clean_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        reader = Options(options, DEFAULTS)
        reader.question()
        reader.choice("comment", COMMENT_MODES)
        name = reader.values["rated_in"]
        if not isinstance(name, str) or len(name) > MAX_NAME or unstorable(name):
            reader.refuse("rated_in", _("Give the name of a campaign, or nothing."))
        else:
            reader.values["rated_in"] = name.strip()
        language = reader.values["language"]
        if not isinstance(language, str) or (language.strip() and not _LANGUAGE.fullmatch(language.strip())):
            reader.refuse("language", _("Give the code of a language, such as en or de, or nothing."))
        elif len(language.strip()) > 35:
            reader.refuse("language", _("The code of a language has at most 35 characters."))
        else:
            reader.values["language"] = language.strip()
        reader.flag("review")
        return reader.finish(_("Some options of the rewriting do not fit; see errors."))

    def context(self, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> dict[str, Any]:
        """Return ``question``, ``max_text`` and ``comment``; the field starts with the answer that is shown."""
        options = {**DEFAULTS, **options}
        return {
            "question": options["question"],
            "max_text": MAX_TEXT,
            "language": options["language"],
            "comment": options["comment"],
            "max_comment": MAX_COMMENT,
        }

    def parse(self, data: Mapping[str, Any], *, options: Mapping[str, Any], shown_order: Sequence[int]) -> Payload:
        options = {**DEFAULTS, **options}
        reader = Fields(data)
        text = reader.text("text", most=MAX_TEXT, least=1, missing=_("Write the answer here."))
        comment = reader.comment(options["comment"])
        reader.finish()
        said = {"text": text, "comment": comment}
        if options["language"]:
            said["language"] = options["language"]
        return {**said, SUGGESTED: dict(options[SUGGESTED])} if SUGGESTED in options else said

    def amended(self, payload: Payload, before: Payload) -> Payload:
        """Return `payload` with the rewrite that was in sight when the judgement was first given."""
        return {SUGGESTED: before[SUGGESTED], **payload} if SUGGESTED in before else payload

    def initial(self, payload: Payload, *, shown_order: Sequence[int]) -> dict[str, Any]:
        return {"text": payload["text"], "comment": payload["comment"]}

    def describe(
        self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int] | None = None
    ) -> str:
        return quoted(shortened(" ".join(payload["text"].split())))

    def rows(
        self,
        view: str,
        payload: Payload,
        *,
        texts: Sequence[Content],
        origins: Sequence[str],
        shown_order: Sequence[int],
    ) -> Iterator[dict[str, Any]]:
        """Yield the new answer in "demonstrations"; in "pairs", before the one it was made from, if they differ."""
        made = {"written": {"text": payload["text"], "is": "better"}, "comment": payload["comment"]}
        if suggested := payload.get(SUGGESTED):
            made["origin"] = origin_of(payload["text"], suggested)
        if view == "demonstrations":
            language = payload.get("language", "")
            read = {
                "readability": asdict(figures(payload["text"], language)),
                "readability_before": asdict(figures(text_of(texts[0]), language)),
            }
            for row in written.demonstration(made, texts=texts):
                yield {**row, **read}
        if view == "pairs":
            yield from written.pairs(made, texts=texts, origins=origins)

    def dimensions(self, options: Mapping[str, Any]) -> list[Dimension]:
        """Return none: two people write two texts, and which of them is better is another question."""
        return []

    def points(self, payload: Payload) -> Iterator[Point]:
        return iter(())

    def likenesses(self, options: Mapping[str, Any]) -> list[Likeness]:
        return [Likeness("changes", _("What had to change"), CORRECTED, ("text", "was"))]

    def gold_points(self, payload: Payload) -> Iterator[Point]:
        """Yield the text; of gold also the answer shown, since what is compared is what was changed in it."""
        yield from (Point(name, 0, 0, payload[name]) for name in ("text", "was") if name in payload)

    def as_gold(self, payload: Payload, *, texts: Sequence[str]) -> Payload:
        return {**payload, "was": texts[0]}

    def tally_labels(self, options: Mapping[str, Any]) -> list[str]:
        return [_("Answers written")]

    def tally(self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> list[str]:
        return [_("Answers written")]

    def json_schema(self, options: Mapping[str, Any]) -> dict[str, Any]:
        options = {**DEFAULTS, **options}
        properties: dict[str, Any] = {
            "text": {"type": "string", "minLength": 1, "maxLength": MAX_TEXT},
            "comment": {"type": "string", "maxLength": MAX_COMMENT},
        }
        required = ["text", *(["comment"] if options["comment"] == "required" else [])]
        return {"type": "object", "properties": properties, "required": required}
