"""Which of two answers is better, and how much: a seven-point scale, tie, both bad, both good.

Payload: ``{"verdict": "prefer"|"tie"|"both_bad"|"both_good", "preference": -3..3, "comment": str}``, where a positive
preference says that canonical completion 0 is better, and all verdicts but "prefer" have preference 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from annotation.feedback.base import Dimension, FeedbackType, Payload, Point
from annotation.feedback.fields import (
    COMMENT_MODES,
    MAX_COMMENT,
    Fields,
    Options,
    comment_schema,
    pair_columns,
    question_schema,
)
from annotation.messages import Content, as_message, image_columns

DEFAULTS: dict[str, Any] = {
    "question": "Which answer is more helpful?",
    "ties": True,
    "both_bad": True,
    "both_good": True,
    "comment": "optional",
}
DEGREES = {1: "slightly better", 2: "better", 3: "much better"}
TIE = 4  # the middle of the scale as shown: 1 is "left much better", 7 is "right much better"
BOTH = {"both_bad": ("Both are bad", "0"), "both_good": ("Both are good", "9")}


class Pairwise(FeedbackType):
    name = "pairwise"
    title = "Compare two answers"
    template = "feedback/pairwise.html"
    defaults = DEFAULTS
    completions = (2, 2)
    views = ("pairs", "demonstrations")

    def option_properties(self) -> dict[str, Any]:
        return {
            "question": question_schema(DEFAULTS["question"]),
            "ties": {"type": "boolean", "title": "Allow a tie", "default": True},
            "both_bad": {"type": "boolean", "title": "Allow “both are bad”", "default": True},
            "both_good": {"type": "boolean", "title": "Allow “both are good”", "default": True},
            "comment": comment_schema(),
        }

    def clean_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        reader = Options(options, DEFAULTS)
        reader.flag("ties", "both_bad", "both_good")
        reader.choice("comment", COMMENT_MODES)
        reader.question()
        return reader.finish("Some options of the comparison do not fit; see errors.")

    def context(self, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> dict[str, Any]:
        """Return ``question``, ``scale`` (value, label, key, side), ``verdicts`` (value, label, key), ``comment``."""
        options = {**DEFAULTS, **options}
        scale = []
        for shown in range(1, 8):
            if shown == TIE and not options["ties"]:
                continue
            side = "tie" if shown == TIE else "left" if shown < TIE else "right"
            scale.append(
                {"value": str(shown), "label": _in_words(TIE - shown, "A", "B"), "key": str(shown), "side": side}
            )
        verdicts = [{"value": name, "label": label, "key": key} for name, (label, key) in BOTH.items() if options[name]]
        return {
            "question": options["question"],
            "scale": scale,
            "verdicts": verdicts,
            "comment": options["comment"],
            "max_comment": MAX_COMMENT,
        }

    def parse(self, data: Mapping[str, Any], *, options: Mapping[str, Any], shown_order: Sequence[int]) -> Payload:
        options = {**DEFAULTS, **options}
        reader = Fields(data)
        verdict, preference = "", 0
        text = reader.given("preference")
        if text in BOTH and options[text]:
            verdict = text
        elif text == str(TIE) and options["ties"]:
            verdict = "tie"
        elif text in {"1", "2", "3", "5", "6", "7"}:
            verdict = "prefer"
            preference = (TIE - int(text)) * (1 if shown_order[0] == 0 else -1)
        else:
            reader.refuse("preference", f"Choose one of: {', '.join(self._values(options))}.")
        comment = reader.comment(options["comment"])
        reader.finish()
        return {"verdict": verdict, "preference": preference, "comment": comment}

    def initial(self, payload: Payload, *, shown_order: Sequence[int]) -> dict[str, Any]:
        verdict = payload["verdict"]
        value = verdict if verdict in BOTH else str(TIE - _as_shown(payload, shown_order))
        return {"preference": value, "comment": payload["comment"]}

    def describe(
        self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int] | None = None
    ) -> str:
        if payload["verdict"] in BOTH:
            return BOTH[payload["verdict"]][0]
        if shown_order is None:
            return _in_words(payload["preference"], "Answer 1", "Answer 2")
        return _in_words(_as_shown(payload, shown_order), "A", "B")

    def rows(
        self,
        view: str,
        payload: Payload,
        *,
        texts: Sequence[Content],
        origins: Sequence[str],
        shown_order: Sequence[int],
    ) -> Iterator[dict[str, Any]]:
        if view == "demonstrations":
            yield from self._demonstrations(payload, texts=texts, origins=origins)
        if view != "pairs" or payload["verdict"] != "prefer":
            return
        chosen = 0 if payload["preference"] > 0 else 1
        rejected = 1 - chosen
        yield {
            **pair_columns(chosen, rejected, texts=texts, origins=origins, shown_order=shown_order),
            "strength": abs(payload["preference"]) / 3,
            "comment": payload["comment"],
        }

    def _demonstrations(
        self, payload: Payload, *, texts: Sequence[Content], origins: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        """Yield the preferred answer, its weight how much it was; both where both were called good."""
        preference = payload["preference"]
        weights = {0 if preference > 0 else 1: abs(preference) / 3} if preference else {}
        if payload["verdict"] == "both_good":
            weights = {0: 1.0, 1: 1.0}
        for position, weight in weights.items():
            yield {
                "completion": [as_message("assistant", texts[position])],
                **image_columns(completion_images=texts[position]),
                "weight": weight,
                "completion_origin": origins[position],
                "comment": payload["comment"],
            }

    def dimensions(self, options: Mapping[str, Any]) -> list[Dimension]:
        return [Dimension("preference", "Which answer is better, and how much")]

    def points(self, payload: Payload) -> Iterator[Point]:
        """Yield -3..3; both bad and both good prefer neither, which is 0 like a tie."""
        preference = payload["preference"]
        category = "first" if preference > 0 else "second" if preference < 0 else "neither"
        yield Point("preference", 0, preference, category)

    def scale_value(self, payload: Payload) -> int:
        return payload["preference"]

    def tally_labels(self, options: Mapping[str, Any]) -> list[str]:
        context = self.context(options=options, shown_order=[0, 1])
        return [choice["label"] for choice in [*context["scale"], *context["verdicts"]]]

    def json_schema(self, options: Mapping[str, Any]) -> dict[str, Any]:
        options = {**DEFAULTS, **options}
        properties: dict[str, Any] = {
            "preference": {
                "description": "As shown: 1 is the first (left) answer much better, 4 a tie, 7 the second much better.",
                "enum": self._values(options),
            }
        }
        required = ["preference"]
        if options["comment"] != "off":
            properties["comment"] = {"type": "string", "maxLength": MAX_COMMENT}
        if options["comment"] == "required":
            properties["comment"]["minLength"] = 1
            required.append("comment")
        return {"type": "object", "properties": properties, "required": required}

    def _values(self, options: Mapping[str, Any]) -> list[str]:
        scale = [str(shown) for shown in range(1, 8) if shown != TIE or options["ties"]]
        return scale + [name for name in BOTH if options[name]]


def _as_shown(payload: Payload, shown_order: Sequence[int]) -> int:
    """Return the preference seen from the screen: positive says that the left answer is better."""
    return payload["preference"] * (1 if shown_order[0] == 0 else -1)


def _in_words(preference: int, first: str, second: str) -> str:
    """Return "A is much better" and the like; positive favours `first`."""
    if preference == 0:
        return "About the same"
    return f"{first if preference > 0 else second} is {DEGREES[abs(preference)]}"
