"""A kind around another one: all that the inner kind does, until the outer one says otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from annotation.feedback.base import Dimension, FeedbackType, Payload, Point
from annotation.feedback.likeness import Likeness
from annotation.feedback.merging import Part
from annotation.feedback.points import Mark
from annotation.messages import Content


class Wrapped(FeedbackType):
    """`inner` with one option more: `option`, whose usual value is `usual`."""

    def __init__(self, inner: FeedbackType, *, option: str, usual: Any) -> None:
        self._inner = inner
        self._option = option
        self.name, self.title, self.template = inner.name, inner.title, inner.template
        self.defaults = {**inner.defaults, option: usual}
        self.completions, self.views, self.scopes = inner.completions, inner.views, inner.scopes
        self.fixed_options = inner.fixed_options
        self.layout, self.has_rules = inner.layout, inner.has_rules
        self.written = inner.written

    def without_own(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options that are the inner kind's."""
        return {name: options[name] for name in options if name != self._option}

    def shown_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        own = {name: options[name] for name in options if name == self._option}
        return {**self._inner.shown_options(self.without_own(options)), **own}

    def layout_in(self, options: Mapping[str, Any]) -> str:
        return self._inner.layout_in(options)

    def has_rules_in(self, options: Mapping[str, Any]) -> bool:
        return self._inner.has_rules_in(options)

    def context(self, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> dict[str, Any]:
        return self._inner.context(options=options, shown_order=shown_order)

    def parse(self, data: Mapping[str, Any], *, options: Mapping[str, Any], shown_order: Sequence[int]) -> Payload:
        return self._inner.parse(data, options=options, shown_order=shown_order)

    def amended(self, payload: Payload, before: Payload) -> Payload:
        return self._inner.amended(payload, before)

    def initial(self, payload: Payload, *, shown_order: Sequence[int]) -> dict[str, Any]:
        return self._inner.initial(payload, shown_order=shown_order)

    def aligned(self, said: Sequence[Mapping[str, Any]], *, options: Mapping[str, Any]) -> list[dict[str, Any]]:
        return self._inner.aligned(said, options=options)

    def parts(self, said: Sequence[Mapping[str, Any]], *, options: Mapping[str, Any]) -> list[Part]:
        return self._inner.parts(said, options=options)

    def describe(
        self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int] | None = None
    ) -> str:
        return self._inner.describe(payload, options=options, shown_order=shown_order)

    def rows(
        self,
        view: str,
        payload: Payload,
        *,
        texts: Sequence[Content],
        origins: Sequence[str],
        shown_order: Sequence[int],
    ) -> Iterator[dict[str, Any]]:
        return self._inner.rows(view, payload, texts=texts, origins=origins, shown_order=shown_order)

    def never(self, options: Mapping[str, Any]) -> frozenset[str]:
        return self._inner.never(options)

    def dimensions(self, options: Mapping[str, Any]) -> list[Dimension]:
        return self._inner.dimensions(options)

    def points(self, payload: Payload) -> Iterator[Point]:
        return self._inner.points(payload)

    def mark_labels(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        return self._inner.mark_labels(options)

    def marks(self, payload: Payload) -> list[Mark] | None:
        return self._inner.marks(payload)

    def likenesses(self, options: Mapping[str, Any]) -> list[Likeness]:
        return self._inner.likenesses(options)

    def gold_points(self, payload: Payload) -> Iterator[Point]:
        return self._inner.gold_points(payload)

    def as_gold(self, payload: Payload, *, texts: Sequence[str]) -> Payload:
        return self._inner.as_gold(payload, texts=texts)

    def options_of_gold(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return self._inner.options_of_gold(options)

    def point_in_words(
        self, point: Point, *, options: Mapping[str, Any], shown_order: Sequence[int] | None = None
    ) -> str:
        return self._inner.point_in_words(point, options=options, shown_order=shown_order)

    def scale_value(self, payload: Payload) -> int | None:
        return self._inner.scale_value(payload)

    def tally_labels(self, options: Mapping[str, Any]) -> list[str]:
        return self._inner.tally_labels(options)

    def tally(self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> list[str]:
        return self._inner.tally(payload, options=options, shown_order=shown_order)

    def json_schema(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return self._inner.json_schema(options)
