"""Safe or unsafe, and when unsafe: in which categories, each with a severity from 1 to 3.

Payload: ``{"pack": str, "labels": [{"safe": bool, "harms": {category: 1..3}}, …], "comment": str}``, one label per
completion in canonical order. An answer is unsafe exactly when it has a category (PKU-SafeRLHF's rule: J. Ji et al.,
2024, section 3). Severity 0 is a category that is not named.

Where the campaign asks so, and the prompt has images, ``"image"`` is a label of those by themselves: a picture of harm
may be answered well, and a harmless one badly (BeaverTails-V: J. Ji et al., "Safe RLHF-V", 2025, section 3, has both).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotation.dialogues import SCOPES
from annotation.feedback import needed
from annotation.feedback.base import Dimension, FeedbackType, Payload, Point
from annotation.feedback.fields import (
    COMMENT_MODES,
    MAX_COMMENT,
    Fields,
    Options,
    answer_columns,
    comment_schema,
    named_answers,
    question_schema,
)
from annotation.feedback.labels import (
    IMAGE,
    QUESTIONS,
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
from annotation.feedback.likeness import Likeness
from annotation.feedback.taxonomies import PACKS, SAFE_RLHF, in_safe_rlhf
from annotation.messages import Content

DEFAULTS: dict[str, Any] = {
    "question": "Would it be safe to give this answer to anybody?",
    "pack": SAFE_RLHF.name,
    "severity": True,
    "image_severity": False,
    "comment": "optional",
    **needed.DEFAULTS,
}


class Safety(FeedbackType):
    name = "safety"
    title = gettext_lazy("Judge safety: categories and severity")
    template = "feedback/safety.html"
    defaults = DEFAULTS
    completions = (1, 4)
    views = ("safety",)
    scopes = tuple(SCOPES)
    layout = "side"

    def option_properties(self) -> dict[str, Any]:
        return {
            "question": question_schema(DEFAULTS["question"]),
            **label_options_schema(),
            **image_option_schema(),
            "comment": comment_schema(),
            **needed.option_properties("Comment if Safe is unsafe", TEXTS, QUESTIONS),
        }

    def shown_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return needed.shown({**DEFAULTS, **options}, TEXTS, QUESTIONS)

    def clean_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        reader = Options(options, DEFAULTS)
        reader.question()
        reader.choice("pack", list(PACKS))
        reader.choice("comment", COMMENT_MODES)
        reader.flag("severity", "image_severity")
        clean_needed(reader)
        return reader.finish(_("Some options of the safety judgement do not fit; see errors."))

    def context(self, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> dict[str, Any]:
        """Return ``question``, ``comment``, what `label_inputs` returns, and ``image``, its like, where it is asked."""
        options = {**DEFAULTS, **options}
        return {
            "question": options["question"],
            **label_inputs(options, len(shown_order)),
            "image": image_inputs(options),
            "comment": options["comment"],
            "max_comment": MAX_COMMENT,
        }

    def parse(self, data: Mapping[str, Any], *, options: Mapping[str, Any], shown_order: Sequence[int]) -> Payload:
        options = {**DEFAULTS, **options}
        reader = Fields(data)
        labels = read_labels(reader, options, shown_order)
        image = read_image(reader, options)
        comment = reader.comment(options["comment"])
        check_needed(reader, options, labels, comment)
        reader.finish()
        return {"pack": options["pack"], "labels": labels, **image, "comment": comment}

    def initial(self, payload: Payload, *, shown_order: Sequence[int]) -> dict[str, Any]:
        labels = label_values(payload["labels"], shown_order)
        return {"comment": payload["comment"], **labels, **image_values(payload)}

    def describe(
        self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int] | None = None
    ) -> str:
        names = named_answers(len(payload["labels"]), shown_order)
        said = [(name, label_in_words(payload["labels"][position], payload["pack"])) for name, position in names]
        if IMAGE in payload:
            image = label_in_words(payload[IMAGE], payload["pack"])
            said = [(_("Image"), image), *(said if len(said) > 1 else [(_("answer"), said[0][1])])]
        if len(said) == 1:
            return said[0][1][0].upper() + said[0][1][1:]
        return "; ".join(f"{name} {words}" for name, words in said)

    def rows(
        self,
        view: str,
        payload: Payload,
        *,
        texts: Sequence[Content],
        origins: Sequence[str],
        shown_order: Sequence[int],
    ) -> Iterator[dict[str, Any]]:
        if view != "safety":
            return
        for position, label in enumerate(payload["labels"]):
            mapped = {other for harm in label["harms"] for other in in_safe_rlhf(payload["pack"], harm)}
            yield {
                **answer_columns(position, texts=texts, origins=origins, shown_order=shown_order),
                "is_safe": label["safe"],
                "severity": severity_of(label),
                "harms": label["harms"],
                "pack": payload["pack"],
                "safe_rlhf_harms": sorted(mapped),
                **({} if isinstance(texts[position], str) else image_columns_of(payload)),
                "comment": payload["comment"],
            }

    def dimensions(self, options: Mapping[str, Any]) -> list[Dimension]:
        options = {**DEFAULTS, **options}
        safe, severity, *harms = label_dimensions(options["pack"])
        return [safe, severity, *image_dimensions(options), *harms]

    def points(self, payload: Payload) -> Iterator[Point]:
        yield from label_points(payload["labels"], payload["pack"])
        yield from image_points(payload)

    def likenesses(self, options: Mapping[str, Any]) -> list[Likeness]:
        return label_likenesses({**DEFAULTS, **options}["pack"])

    def point_in_words(
        self, point: Point, *, options: Mapping[str, Any], shown_order: Sequence[int] | None = None
    ) -> str:
        return label_point_in_words(point)

    def tally_labels(self, options: Mapping[str, Any]) -> list[str]:
        options = {**DEFAULTS, **options}
        return [_("Safe"), _("Unsafe"), *image_tally_labels(options), *PACKS[options["pack"]].titles.values()]

    def tally(self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> list[str]:
        titles = PACKS[payload["pack"]].titles
        found = image_tally(payload)
        for label in payload["labels"]:
            found.append(_("Safe") if label["safe"] else _("Unsafe"))
            found += [titles[harm] for harm in label["harms"]]
        return found

    def json_schema(self, options: Mapping[str, Any]) -> dict[str, Any]:
        options = {**DEFAULTS, **options}
        properties = {**label_schema(options), "comment": {"type": "string", "maxLength": MAX_COMMENT}}
        properties |= image_schema(options)
        required = ["safe_1", *(["comment"] if options["comment"] == "required" else [])]
        return {"type": "object", "properties": properties, "required": required}
