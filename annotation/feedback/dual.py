"""Which of two answers is safer, and which is more helpful: asked apart, after a safety label of each (PKU-SafeRLHF).

Where the campaign asks so, and the prompt has images, those come first, by themselves (``"image"``): BeaverTails-V asks
for the severity of an image and of an answer apart, and for the two comparisons (J. Ji et al., "Safe RLHF-V", 2025).

Payload: ``{"pack": str, "labels": [{"safe": bool, "harms": {category: 1..3}} × 2], "safer": 0|1, "better": 0|1,
"comment": str}``; "safer" and "better" are canonical positions; with ``"rates"`` of each where they are asked for.
Helpfulness and harmlessness are decoupled and asked in this order, as J. Dai et al., "Safe RLHF" (2023), section 3.1,
and J. Ji et al., "PKU-SafeRLHF" (2024) describe it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotation.feedback import needed, rates
from annotation.feedback.base import Dimension, FeedbackType, Payload, Point
from annotation.feedback.fields import (
    COMMENT_MODES,
    MAX_COMMENT,
    Fields,
    Options,
    comment_schema,
    letters,
    named_answers,
    pair_columns,
    question_schema,
)
from annotation.feedback.labels import (
    IMAGE,
    QUESTIONS,
    SEVERITIES,
    TEXTS,
    check_needed,
    clean_needed,
    image_columns_of,
    image_dimensions,
    image_inputs,
    image_option_schema,
    image_points,
    image_schema,
    image_tally,
    image_tally_labels,
    image_values,
    label_dimensions,
    label_in_words,
    label_inputs,
    label_likenesses,
    label_options_schema,
    label_point_in_words,
    label_points,
    label_schema,
    label_values,
    read_image,
    read_labels,
    severity_of,
)
from annotation.feedback.likeness import SAME, Likeness
from annotation.feedback.taxonomies import PACKS, SAFE_RLHF
from annotation.messages import Content

DEFAULTS: dict[str, Any] = {
    "question": "Is each answer safe?",
    "safer_question": "Which answer is safer, whatever else it is worth?",
    "better_question": "Which answer is more helpful, leaving harm aside?",
    "pack": SAFE_RLHF.name,
    "severity": True,
    "image_severity": False,
    rates.RATES: False,
    "comment": "optional",
    **needed.DEFAULTS,
}


class Dual(FeedbackType):
    name = "dual"
    title = gettext_lazy("Compare twice: safer, more helpful")
    template = "feedback/dual.html"
    defaults = DEFAULTS
    completions = (2, 2)
    views = ("pairs", "safer_pairs")
    layout = "side"
    has_rules = True

    def option_properties(self) -> dict[str, Any]:
        return {
            "question": question_schema(DEFAULTS["question"]),
            "safer_question": {**question_schema(DEFAULTS["safer_question"]), "title": _("Second question: safer")},
            "better_question": {**question_schema(DEFAULTS["better_question"]), "title": _("Third question: helpful")},
            **label_options_schema(),
            **image_option_schema(),
            **rates.option_schema(),
            "comment": comment_schema(),
            **needed.option_properties("Comment if Severity is severe", TEXTS, QUESTIONS),
        }

    def shown_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return needed.shown({**DEFAULTS, **options}, TEXTS, QUESTIONS)

    def clean_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        reader = Options(options, DEFAULTS)
        for name in ("question", "safer_question", "better_question"):
            reader.question(name)
        reader.choice("pack", list(PACKS))
        reader.choice("comment", COMMENT_MODES)
        reader.flag("severity", "image_severity", rates.RATES)
        clean_needed(reader)
        return reader.finish(_("Some options of the two comparisons do not fit; see errors."))

    def context(self, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> dict[str, Any]:
        """Return ``question``, what `label_inputs` returns, and ``choices``: field, question, and places to choose."""
        options = {**DEFAULTS, **options}
        places = [{"value": str(place), "letter": letter} for place, letter in enumerate(letters((0, 1)), start=1)]
        return {
            "question": options["question"],
            **label_inputs(options, len(shown_order)),
            "image": image_inputs(options),
            "rates": rates.inputs(options),
            "choices": [
                {"name": name, "question": options[f"{name}_question"], "places": places}
                for name in ("safer", "better")
            ],
            "comment": options["comment"],
            "max_comment": MAX_COMMENT,
        }

    def parse(self, data: Mapping[str, Any], *, options: Mapping[str, Any], shown_order: Sequence[int]) -> Payload:
        options = {**DEFAULTS, **options}
        reader = Fields(data)
        labels = read_labels(reader, options, shown_order)
        image = read_image(reader, options)
        rated = rates.read(reader, options, shown_order)
        chosen = {}
        for name in ("safer", "better"):
            place = reader.choice(name, ("1", "2"), missing=_("Choose one of the two."))
            chosen[name] = shown_order[int(place or 1) - 1]
        comment = reader.comment(options["comment"])
        check_needed(reader, options, labels, comment)
        if not reader.errors and (broken := broken_rule(labels, chosen["safer"], shown_order, reason=comment)):
            reader.refuse("safer", broken)
        payload = {"pack": options["pack"], "labels": labels, **image, **rated, **chosen, "comment": comment}
        if not reader.errors:
            rates.check(reader, payload, labels, shown_order)
        reader.finish()
        return payload

    def initial(self, payload: Payload, *, shown_order: Sequence[int]) -> dict[str, Any]:
        order = list(shown_order)
        return {
            **label_values(payload["labels"], shown_order),
            **image_values(payload),
            **rates.values(payload, shown_order),
            "safer": str(order.index(payload["safer"]) + 1),
            "better": str(order.index(payload["better"]) + 1),
            "comment": payload["comment"],
        }

    def describe(
        self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int] | None = None
    ) -> str:
        answers = named_answers(2, shown_order)
        names = {position: name for name, position in answers}
        labels = [f"{name} {label_in_words(payload['labels'][at], payload['pack'])}" for name, at in answers]
        chosen = _("{safer} is safer, {better} more helpful")
        chosen = chosen.format(safer=names[payload["safer"]], better=names[payload["better"]])
        image = [f"{_('Image')} {label_in_words(payload[IMAGE], payload['pack'])}"] if IMAGE in payload else []
        return "; ".join([chosen, *image, *labels])

    def rows(
        self,
        view: str,
        payload: Payload,
        *,
        texts: Sequence[Content],
        origins: Sequence[str],
        shown_order: Sequence[int],
    ) -> Iterator[dict[str, Any]]:
        """Yield the more helpful answer before the other in "pairs", the safer one in "safer_pairs"."""
        if view not in self.views:
            return
        chosen = payload["better" if view == "pairs" else "safer"]
        rejected = 1 - chosen
        row = {
            **pair_columns(chosen, rejected, texts=texts, origins=origins, shown_order=shown_order),
            "comment": payload["comment"],
        }
        if view == "pairs":
            yield {**row, "strength": 1.0}
            return
        row["chosen_is_better"] = payload["better"] == chosen
        for name, position in (("chosen", chosen), ("rejected", rejected)):
            label = payload["labels"][position]
            row[f"{name}_is_safe"] = label["safe"]
            row[f"{name}_severity"] = severity_of(label)
            row[f"{name}_harms"] = label["harms"]
        row |= rates.columns(payload, chosen=chosen, rejected=rejected)
        yield {**row, **({} if isinstance(texts[chosen], str) else image_columns_of(payload))}

    def dimensions(self, options: Mapping[str, Any]) -> list[Dimension]:
        return [
            Dimension("better", _("Which answer is more helpful"), ordered=False, of_item=True),
            Dimension("safer", _("Which answer is safer"), ordered=False, of_item=True),
            *image_dimensions({**DEFAULTS, **options}),
            *rates.dimensions({**DEFAULTS, **options}),
            *label_dimensions({**DEFAULTS, **options}["pack"]),
        ]

    def points(self, payload: Payload) -> Iterator[Point]:
        for name in ("better", "safer"):
            yield Point(name, 0, payload[name], "second" if payload[name] else "first")
        yield from image_points(payload)
        yield from rates.points(payload)
        yield from label_points(payload["labels"], payload["pack"])

    def likenesses(self, options: Mapping[str, Any]) -> list[Likeness]:
        compared = [Likeness(one.name, one.title, SAME, (one.name,)) for one in self.dimensions(options)[:2]]
        return [*compared, *label_likenesses({**DEFAULTS, **options}["pack"])]

    def point_in_words(
        self, point: Point, *, options: Mapping[str, Any], shown_order: Sequence[int] | None = None
    ) -> str:
        if point.dimension in ("better", "safer"):
            return {position: name for name, position in named_answers(2, shown_order)}[point.value]
        return rates.point_in_words(point) if point.dimension in rates.WORDS else label_point_in_words(point)

    def scale_value(self, payload: Payload) -> int:
        """Return 1 when the canonical first answer is the more helpful one, else -1."""
        return -1 if payload["better"] else 1

    def tally_labels(self, options: Mapping[str, Any]) -> list[str]:
        chosen = [_in_words(name, letter) for name in ("safer", "better") for letter in "AB"]
        return [*chosen, *image_tally_labels({**DEFAULTS, **options}), *map(str, _BOTH.values())]

    def tally(self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> list[str]:
        places = dict(zip(shown_order, letters((0, 1)), strict=True))
        both = (payload["labels"][0]["safe"], payload["labels"][1]["safe"])
        said = [_in_words(name, places[payload[name]]) for name in ("safer", "better")]
        return [*said, *image_tally(payload), str(_BOTH[sum(both)])]

    def json_schema(self, options: Mapping[str, Any]) -> dict[str, Any]:
        options = {**DEFAULTS, **options}
        place = {"enum": ["1", "2"]}
        properties: dict[str, Any] = {
            **label_schema(options),
            **image_schema(options),
            **rates.schema(options),
            "safer": {**place, "description": "1 when the answer shown first is safer, 2 when the second is."},
            "better": {**place, "description": "1 when the answer shown first is more helpful, 2 when the second is."},
            "comment": {"type": "string", "maxLength": MAX_COMMENT},
        }
        required = ["safe_1", *rates.schema(options), "safer", "better"]
        required += ["comment"] if options["comment"] == "required" else []
        return {"type": "object", "properties": properties, "required": required}


_BOTH = {
    2: gettext_lazy("Both are safe"),
    1: gettext_lazy("One is safe"),
    0: gettext_lazy("Both are unsafe"),
}


def _in_words(name: str, letter: str) -> str:
    """Return which answer was chosen, as a chart says it."""
    said = _("{answer} is safer") if name == "safer" else _("{answer} is more helpful")
    return said.format(answer=letter)


def broken_rule(labels: Sequence[Mapping[str, Any]], safer: int, shown_order: Sequence[int], *, reason: str) -> str:
    """Return which rule of PKU-SafeRLHF the choice of the safer answer breaks, in a sentence; empty when none.

    The less severe of two unsafe answers may be called the less safe one with a reason: severities are rough.
    """
    other = 1 - safer
    names = dict(zip(shown_order, letters((0, 1)), strict=True))
    if labels[other]["safe"] and not labels[safer]["safe"]:
        told = _("{safe} is called safe and {unsafe} is not, so {safe} must be the safer one.")
        return told.format(safe=names[other], unsafe=names[safer])
    worse, milder = severity_of(labels[safer]), severity_of(labels[other])
    if worse > milder and not reason:
        told = _(
            "{safer} is called {worse} and {other} only {milder}, yet {safer} is called safer. Change one of them, or "
            "say in the comment why."
        )
        return told.format(
            safer=names[safer],
            other=names[other],
            worse=SEVERITIES[worse][0].lower(),
            milder=SEVERITIES[milder][0].lower(),
        )
    return ""
