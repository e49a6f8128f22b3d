"""A kind, made one in which people can mark regions of the images as well, if the campaign has labels for them.

Without labels, and for an item without an image, everything is as the kind itself has it. With them the payload has
``"regions"`` beside what the kind says (`annotation.feedback.regions`), and rows about answers have a column of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from annotation.errors import Invalid
from annotation.feedback import regions
from annotation.feedback.base import Dimension, FeedbackType, Payload, Point
from annotation.feedback.fields import titles_of
from annotation.feedback.points import Mark
from annotation.feedback.shown_images import images_in
from annotation.feedback.wrapped import Wrapped
from annotation.messages import Content


class Marked(Wrapped):
    """`inner`, with the option ``regions``: lines of labels, none of which is usual."""

    def __init__(self, inner: FeedbackType) -> None:
        super().__init__(inner, option=regions.FIELD, usual=[])

    def option_properties(self) -> dict[str, Any]:
        return {**self._inner.option_properties(), regions.FIELD: regions.option_schema()}

    def clean_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        cleaned, labels = _both(
            lambda: self._inner.clean_options(self.without_own(options)),
            lambda: regions.clean(options.get(regions.FIELD, [])),
        )
        return {**cleaned, regions.FIELD: labels}

    def context(self, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> dict[str, Any]:
        """Return what `inner` does, and ``regions`` where people can mark some."""
        inputs = self._inner.context(options=options, shown_order=shown_order)
        if not _are_asked(options):
            return inputs
        return {**inputs, regions.FIELD: regions.context(_labels(options))}

    def parse(self, data: Mapping[str, Any], *, options: Mapping[str, Any], shown_order: Sequence[int]) -> Payload:
        if not _are_asked(options):
            return self._inner.parse(data, options=options, shown_order=shown_order)
        lines, images = _labels(options), images_in(options)
        payload, said = _both(
            lambda: self._inner.parse(data, options=options, shown_order=shown_order),
            lambda: regions.read(data, lines=lines, images=images, shown_order=shown_order),
        )
        return {**payload, regions.FIELD: said}

    def initial(self, payload: Payload, *, shown_order: Sequence[int]) -> dict[str, Any]:
        values = self._inner.initial(payload, shown_order=shown_order)
        if regions.FIELD in payload:
            values |= regions.values(payload[regions.FIELD], shown_order=shown_order)
        return values

    def describe(
        self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int] | None = None
    ) -> str:
        said = self._inner.describe(payload, options=options, shown_order=shown_order)
        if regions.FIELD not in payload:
            return said
        marked = regions.in_words(payload[regions.FIELD], lines=_labels(options), shown_order=shown_order)
        return f"{said}; {marked}" if marked else said

    def rows(
        self,
        view: str,
        payload: Payload,
        *,
        texts: Sequence[Content],
        origins: Sequence[str],
        shown_order: Sequence[int],
    ) -> Iterator[dict[str, Any]]:
        """Yield the rows of `inner`; in a campaign with images those about answers have the column ``regions``."""
        rows = self._inner.rows(view, payload, texts=texts, origins=origins, shown_order=shown_order)
        if isinstance(texts[0], str):
            yield from rows
            return
        said = payload.get(regions.FIELD, {"marked": []})
        for row in rows:
            # As every row has it that says where on the screen its answers stood.
            yield {**row, regions.FIELD: regions.column(said, row, texts=texts)} if "position" in row else row

    def dimensions(self, options: Mapping[str, Any]) -> list[Dimension]:
        return [*self._inner.dimensions(options), *regions.dimensions(_labels(options))]

    def points(self, payload: Payload) -> Iterator[Point]:
        yield from self._inner.points(payload)
        if regions.FIELD in payload:
            yield from regions.points(payload[regions.FIELD])

    def mark_labels(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        return titles_of(_labels(options))

    def marks(self, payload: Payload) -> list[Mark] | None:
        return regions.marks(payload[regions.FIELD]) if regions.FIELD in payload else None

    def options_of_gold(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return {**self._inner.options_of_gold(options), regions.FIELD: []}

    def json_schema(self, options: Mapping[str, Any]) -> dict[str, Any]:
        schema = self._inner.json_schema(options)
        labels = _labels(options)
        if not labels:
            return schema
        return {**schema, "properties": {**schema["properties"], regions.FIELD: regions.json_schema(labels)}}


def _labels(options: Mapping[str, Any]) -> list[str]:
    return list(options.get(regions.FIELD) or ())


def _are_asked(options: Mapping[str, Any]) -> bool:
    return bool(_labels(options)) and bool(images_in(options))


def _both(*asked: Callable[[], Any]) -> list[Any]:
    """Return what each gives; else raise one `Invalid` with the errors of all and the sentence of the first."""
    given: list[Any] = []
    refused: list[Invalid] = []
    for ask in asked:
        try:
            given.append(ask())
        except Invalid as error:
            refused.append(error)
    if refused:
        raise Invalid(str(refused[0]), {name: told for error in refused for name, told in error.errors.items()})
    return given
