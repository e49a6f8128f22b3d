"""What a kind of feedback must be able to do. Its payload is read by its own module and by nobody else."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotation.dialogues import ANSWER
from annotation.errors import Invalid
from annotation.feedback import merging
from annotation.feedback.likeness import SAME, WITHIN, Likeness
from annotation.feedback.points import Dimension, Mark, Point
from annotation.messages import Content

# A judgement in the kind's own canonical form; refers to completions by canonical position.
Payload = dict[str, Any]


class FeedbackType(ABC):
    """One kind of feedback. There is one instance of each, in `annotation.feedback.KINDS`."""

    name: str  # as stored in `Campaign.kind`
    title: Promise | str  # as shown to a lead
    template: str  # the inputs, rendered with `context()`
    defaults: Mapping[str, Any]  # every option there is, with its usual value
    completions: tuple[int, int]  # how many answers one item must have: least and most
    views: tuple[str, ...]  # the dataset views this kind feeds, besides "judgements"
    # What of a conversation it can be about, of `annotation.dialogues.SCOPES`; a campaign chooses one.
    scopes: tuple[str, ...] = (ANSWER,)
    # Options that stay as they are once there are items, because what was said would mean something else.
    fixed_options: tuple[str, ...] = ()
    # Where the inputs are: "dock", a bar below the answers; or "side", a column beside them for what takes longer.
    layout: str = "dock"
    # Whether fields are checked against each other: then a screen waits for the server's word before it moves on.
    has_rules: bool = False
    # The fields that people write in, without the place of an answer, and what they are called.
    written: Mapping[str, Promise | str] = {"comment": gettext_lazy("Comment")}

    def layout_in(self, options: Mapping[str, Any]) -> str:
        """Return where the inputs are under these options."""
        return self.layout

    def has_rules_in(self, options: Mapping[str, Any]) -> bool:
        """Return whether fields are checked against each other in a campaign with these options."""
        return self.has_rules or any(options.get(name) for name in ("never_both", "needed_if"))

    def reviews(self, options: Mapping[str, Any]) -> bool:
        """Return whether people read their text once more before it is sent, in a campaign with these options."""
        return bool({**self.defaults, **options}.get("review"))

    def more_skips(self, options: Mapping[str, Any]) -> bool:
        """Return whether people are offered more reasons to skip, in a campaign with these options."""
        return bool({**self.defaults, **options}.get("more_skips"))

    @property
    def compares(self) -> bool:
        """Whether its judgements say which of two answers is better, which is what a loop learns from."""
        least, most = self.completions
        return "pairs" in self.views and least <= 2 <= most

    def default_options(self) -> dict[str, Any]:
        """Return the options of a campaign that set none."""
        return copy.deepcopy(dict(self.defaults))

    def shown_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return checked options as a form shows them, in the reader's language; `clean_options` reads them again."""
        return dict(options)

    def options_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the options, for forms and for the REST document."""
        return {"type": "object", "additionalProperties": False, "properties": self.option_properties()}

    @abstractmethod
    def option_properties(self) -> dict[str, Any]:
        """Return the JSON Schema of each option, in the order in which a form asks for them."""

    @abstractmethod
    def clean_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return `options` checked and completed with the defaults; raises `Invalid`."""

    @abstractmethod
    def context(self, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> dict[str, Any]:
        """Return what the template needs to draw the inputs."""

    @abstractmethod
    def parse(self, data: Mapping[str, Any], *, options: Mapping[str, Any], shown_order: Sequence[int]) -> Payload:
        """Return the canonical payload of `data`, which is in terms of what was on screen; raises `Invalid`."""

    def amended(self, payload: Payload, before: Payload) -> Payload:
        """Return the payload of a newer version, with what of the one before no form shows."""
        return payload

    @abstractmethod
    def initial(self, payload: Payload, *, shown_order: Sequence[int]) -> dict[str, Any]:
        """Return the form values that would give `payload` again: the inverse of `parse`."""

    def aligned(self, said: Sequence[Mapping[str, Any]], *, options: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return several people's forms so that a field is about the same in each of them."""
        return [dict(one) for one in said]

    def parts(self, said: Sequence[Mapping[str, Any]], *, options: Mapping[str, Any]) -> list[merging.Part]:
        """Return what of `aligned` forms a reviewer can take over beside the questions of `dimensions`."""
        return merging.texts(self.written, said)

    @abstractmethod
    def describe(
        self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int] | None = None
    ) -> str:
        """Return the judgement in words; in terms of the screen when `shown_order` is given."""

    def verdict(self, payload: Payload, *, options: Mapping[str, Any]) -> str:
        """Return `describe` in English whoever asks: a file that is exported says the same to everybody."""
        with translation.override(None):
            return self.describe(payload, options=options)

    @abstractmethod
    def rows(
        self,
        view: str,
        payload: Payload,
        *,
        texts: Sequence[Content],
        origins: Sequence[str],
        shown_order: Sequence[int],
    ) -> Iterator[dict[str, Any]]:
        """Yield the columns this judgement gives to `view`; nothing when it gives none.

        `texts` and `origins` are in canonical order, and a text may be parts (`annotation.messages`);
        `annotation.datasets` adds prompt and provenance.
        """

    def never(self, options: Mapping[str, Any]) -> frozenset[str]:
        """Return the views and layouts that a campaign with these options can never fill, though `views` has them."""
        return frozenset()

    @abstractmethod
    def dimensions(self, options: Mapping[str, Any]) -> list[Dimension]:
        """Return what agreement is measured on, the most telling one first; none when there is nothing to compare."""

    @abstractmethod
    def points(self, payload: Payload) -> Iterator[Point]:
        """Yield the judgement as points on the kind's dimensions."""

    def mark_labels(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the titles of the labels that regions of images are marked with, by key; none where none are."""
        return {}

    def marks(self, payload: Payload) -> list[Mark] | None:
        """Return what the judgement marks in images; None where it could mark nothing."""
        return None

    def likenesses(self, options: Mapping[str, Any]) -> list[Likeness]:
        """Return what gold is compared in: each dimension, steps where it has an order, else the same or not."""
        return [
            Likeness(one.name, one.title, WITHIN if one.ordered else SAME, (one.name,))
            for one in self.dimensions(options)
        ]

    def no_gold(self, options: Mapping[str, Any]) -> str:
        """Return why there is no right answer that a judgement could be compared with; empty where there is one."""
        return "" if self.likenesses(options) else _("Nothing is asked here that could be right or wrong.")

    def gold_points(self, payload: Payload) -> Iterator[Point]:
        """Yield what a judgement is compared in with gold: its points, where a kind has nothing else."""
        return self.points(payload)

    def as_gold(self, payload: Payload, *, texts: Sequence[str]) -> Payload:
        """Return the right judgement as it is kept: itself, where the `texts` of the answers do not belong to it."""
        return payload

    def options_of_gold(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options under which gold is read: texts that only explain an answer are not asked for."""
        lenient = {"comment": "optional", "reasons": "off", "write_on_tie": False, "needed_if": []}
        lenient |= {"minimum": 0, "minimum_words": 0, "confidence": False}
        return {**options, **{name: value for name, value in lenient.items() if name in self.defaults}}

    def parse_given(self, answer: Mapping[str, Any], *, options: Mapping[str, Any], count: int, told: str) -> Payload:
        """Return the payload of an answer that comes with an item of `count` answers, in their canonical order.

        Raises `Invalid` with `told`, a sentence in which ``{reasons}`` stands for what does not fit.
        """
        try:
            return self.parse(answer, options=self.options_of_gold(options), shown_order=range(count))
        except Invalid as error:
            reasons = [f"{name}: {text}" for name, texts in error.errors.items() for text in texts]
            raise Invalid(told.format(reasons=" ".join(reasons)), {"answer": reasons}) from None

    def point_in_words(
        self, point: Point, *, options: Mapping[str, Any], shown_order: Sequence[int] | None = None
    ) -> str:
        """Return what a point says; in terms of the screen with `shown_order`."""
        return point.category

    def scale_value(self, payload: Payload) -> int | None:
        """Return how much the first of two answers is preferred, negative for the second; None without such a thing."""
        return None

    def tally_labels(self, options: Mapping[str, Any]) -> list[str]:
        """Return what `tally` may say, in the order in which a chart shows it."""
        return []

    def tally(self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> list[str]:
        """Return what a chart counts of one judgement, in words."""
        return [self.describe(payload, options=options, shown_order=shown_order)]

    @abstractmethod
    def json_schema(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the JSON Schema of what `parse` accepts."""
