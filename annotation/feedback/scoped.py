"""A kind about a last answer, made one about a chosen turn, each turn, or a whole dialogue, as a campaign chooses.

Only "each turn" changes what is asked: every turn is judged as the kind judges one answer, under names that begin with
``turn_1_``, ``turn_2_``, …, and all at once. The payload is then ``{"turns": [{"turn": 1, …the kind's payload…}, …]}``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _

from annotation.dialogues import ANSWER, EACH_TURN, SCOPES, TURN, scope_of
from annotation.errors import Invalid
from annotation.feedback.base import FeedbackType, Payload, Point
from annotation.feedback.wrapped import Wrapped
from annotation.messages import Content

# A turn is judged as a single answer.
ALONE = [0]


class Scoped(Wrapped):
    """`inner`, with the option ``scope``: one of the scopes that it allows."""

    def __init__(self, inner: FeedbackType) -> None:
        super().__init__(inner, option="scope", usual=ANSWER)
        self.fixed_options = ("scope", *inner.fixed_options)

    def option_properties(self) -> dict[str, Any]:
        scope = {
            "type": "string",
            "title": _("What is judged"),
            "description": _("Dialogues are imported whole, up to an answer. It stays as it is once there are items."),
            "enum": list(self.scopes),
            "enumTitles": [str(SCOPES[scope]) for scope in self.scopes],
            "default": ANSWER,
        }
        return {**self._inner.option_properties(), "scope": scope}

    def clean_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        scope = options.get("scope", ANSWER)
        told = _("Give one of: {choices}.").format(choices=", ".join(self.scopes))
        errors = {} if scope in self.scopes else {"scope": [told]}
        cleaned: dict[str, Any] = {}
        try:
            cleaned = self._inner.clean_options(self.without_own(options))
        except Invalid as error:
            raise Invalid(str(error), {**error.errors, **errors}) from None
        if errors:
            raise Invalid(_("What is judged does not fit this kind of feedback; see errors."), errors)
        return {**cleaned, "scope": scope}

    def context(self, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> dict[str, Any]:
        """Return what `inner` does; for each turn ``template``, its ``question``, and ``turns`` with their inputs."""
        if scope_of(options) != EACH_TURN:
            return super().context(options=options, shown_order=shown_order)
        inputs = self._inner.context(options=options, shown_order=ALONE)
        turns = [
            {"turn": turn, "prefix": prefix(turn), "about": str(turn - 1)} for turn in range(1, len(shown_order) + 1)
        ]
        return {"template": self.template, "question": inputs["question"], "inputs": inputs, "turns": turns}

    def parse(self, data: Mapping[str, Any], *, options: Mapping[str, Any], shown_order: Sequence[int]) -> Payload:
        """Return the payload; errors about a turn name it, and so do their fields."""
        if scope_of(options) != EACH_TURN:
            return self._inner.parse(data, options=options, shown_order=shown_order)
        turns: list[Payload] = []
        errors: dict[str, list[str]] = {}
        for turn in range(1, len(shown_order) + 1):
            fields = {
                str(name).removeprefix(prefix(turn)): value
                for name, value in data.items()
                if str(name).startswith(prefix(turn))
            }
            try:
                turns.append({"turn": turn, **self._inner.parse(fields, options=options, shown_order=ALONE)})
            except Invalid as error:
                for name, reasons in error.errors.items():
                    errors[prefix(turn) + name] = [_turn(turn, reason) for reason in reasons]
        if errors:
            raise Invalid(_("The judgement is not complete, because every turn is judged; see errors."), errors)
        return {"turns": turns}

    def initial(self, payload: Payload, *, shown_order: Sequence[int]) -> dict[str, Any]:
        if "turns" not in payload:
            return self._inner.initial(payload, shown_order=shown_order)
        return {
            prefix(part["turn"]) + name: value
            for part in payload["turns"]
            for name, value in self._inner.initial(part, shown_order=ALONE).items()
        }

    def describe(
        self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int] | None = None
    ) -> str:
        if "turns" not in payload:
            return self._inner.describe(payload, options=options, shown_order=shown_order)
        return "; ".join(
            _turn(part["turn"], _continued(self._inner.describe(part, options=options))) for part in payload["turns"]
        )

    def rows(
        self,
        view: str,
        payload: Payload,
        *,
        texts: Sequence[Content],
        origins: Sequence[str],
        shown_order: Sequence[int],
    ) -> Iterator[dict[str, Any]]:
        """Yield the columns; where each turn is judged, ``turn`` is one of them."""
        if "turns" not in payload:
            yield from self._inner.rows(view, payload, texts=texts, origins=origins, shown_order=shown_order)
            return
        for part in payload["turns"]:
            place = part["turn"] - 1
            about = self._inner.rows(view, part, texts=[texts[place]], origins=[origins[place]], shown_order=ALONE)
            for row in about:
                yield {**row, "turn": part["turn"]}

    def points(self, payload: Payload) -> Iterator[Point]:
        """Yield the points; each turn of a dialogue is a place of its own."""
        return _by_turn(self._inner.points, payload)

    def gold_points(self, payload: Payload) -> Iterator[Point]:
        return _by_turn(self._inner.gold_points, payload)

    def tally(self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> list[str]:
        if "turns" not in payload:
            return self._inner.tally(payload, options=options, shown_order=shown_order)
        return [
            said for part in payload["turns"] for said in self._inner.tally(part, options=options, shown_order=ALONE)
        ]

    def json_schema(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the schema; for each turn that of the first one, since an item has as many as its dialogue."""
        schema = self._inner.json_schema(options)
        if scope_of(options) != EACH_TURN:
            return schema
        return {
            **schema,
            "description": "The fields of the first turn; those of the second begin with turn_2_, and so on.",
            "properties": {prefix(1) + name: value for name, value in schema["properties"].items()},
            "required": [prefix(1) + name for name in schema["required"]],
        }


def prefix(turn: int) -> str:
    """Return what the names of the fields about a turn begin with."""
    return f"turn_{turn}_"


def bounds(kind: FeedbackType, options: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many answers, or dialogues, an imported item must have: least and most."""
    return (1, 1) if scope_of(options) in (TURN, EACH_TURN) else kind.completions


def _by_turn(points: Callable[[Payload], Iterator[Point]], payload: Payload) -> Iterator[Point]:
    if "turns" not in payload:
        yield from points(payload)
        return
    for part in payload["turns"]:
        for point in points(part):
            yield point._replace(place=part["turn"] - 1)


def _turn(number: int, said: str) -> str:
    """Return what is said of a turn."""
    return _("Turn {n}: {said}").format(n=number, said=said)


def _continued(words: str) -> str:
    """Return words as they stand after a colon."""
    return words[:1].lower() + words[1:]
