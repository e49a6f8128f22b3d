"""Gold: the right answer to an item, how it is given, and how a judgement is compared with it.

Gold is ``{"answer": {…}, "tolerance": {…}, "purpose": "mixed"}``. The answer has the fields of a submit, with
the item's answers in their canonical order: ``_1`` is the first one of its row. It must be complete, except for
comments and texts that only explain. The tolerance names what is compared, and how far off still counts; ``null``
leaves a thing out, and what is not named has the usual tolerance of its kind:

- a comparison: the same side, within 2 steps of how much better; in each dimension alike (`same_side`);
- an order: at most a fifth of all pairs the other way round (`pairs`, Kendall's distance over the number of pairs);
- ratings, scores and severity: within 1 level (`within`); a whole item's severity is that of its worst category;
- categories of harm: Jaccard's index of at least one half (`overlap`); safe or unsafe, safer, more helpful: the same;
- principles: the same answer, where "partly" is half right beside yes or no, and no hit (`half`);
- critiques: their score, and the campaign's principles that gold answers; nobody can say which words are right;
- written answers: at least half of the words that had to come or go did (`corrected`).

The purpose says when people are given it: "mixed" among other items, or as a "check" of their attention; before their
first item as "practice" or "test".

What is compared are the points that agreement is measured on, so no payload is read here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from annotation.dialogues import EACH_TURN, scope_of
from annotation.errors import Invalid
from annotation.feedback import FeedbackType
from annotation.feedback.base import Payload
from annotation.feedback.fields import letters
from annotation.feedback.likeness import CORRECTED, OVERLAP, Likeness, Points, chosen
from annotation.feedback.points import Point
from annotation.models import Gold

PARTS = ("answer", "tolerance", "purpose")


@dataclass(frozen=True)
class GoldAnswer:
    """The right judgement in the kind's own form, and how far off each thing may be; None: it is not compared."""

    payload: Payload
    tolerance: Mapping[str, float | None]
    purpose: str = ""  # one of `Gold.Purpose`; empty: as usual, or as it was

    def as_stored(self) -> dict[str, Any]:
        """Return the fields of `models.Gold` that hold it."""
        purpose = {"purpose": self.purpose} if self.purpose else {}
        return {"payload": self.payload, "tolerance": dict(self.tolerance), **purpose}


@dataclass(frozen=True)
class Compared:
    """What came of one thing: of one answer or turn, or of the whole item."""

    name: str  # as `tolerance` calls it
    place: int  # canonical; 0 when it is about the item as a whole
    score: float  # 0 to 1
    is_hit: bool
    sentence: str  # for the person who judged


def read(feedback_kind: FeedbackType, value: Any, *, options: Mapping[str, Any], texts: Sequence[str]) -> GoldAnswer:
    """Return gold that was given for an item with answers of `texts`; raises `Invalid` that says what does not fit."""
    if refused := feedback_kind.no_gold(options):
        raise _invalid(refused)
    if not isinstance(value, Mapping) or not isinstance(value.get("answer"), Mapping):
        raise _invalid(_('Give gold as an object: {"answer": {…the fields of a judgement…}, "tolerance": {…}}.'))
    unknown = [str(name)[:40] for name in value if name not in PARTS]
    if unknown:
        told = _("Gold has no part {name}; there are answer, tolerance and purpose.")
        raise _invalid(told.format(name=repr(unknown[0])))
    purpose = value.get("purpose") or ""
    if purpose and purpose not in Gold.Purpose.values:
        told = _("Gold is for one of: {purposes}.")
        raise _invalid(told.format(purposes=", ".join(Gold.Purpose.values)), "purpose")
    told = _("The gold answer does not fit. {reasons}")
    payload = feedback_kind.parse_given(value["answer"], options=options, count=len(texts), told=told)
    payload = feedback_kind.as_gold(payload, texts=texts)
    if not any(True for _point in feedback_kind.gold_points(payload)):
        raise _invalid(_("Nothing in this answer can be compared with what people say: answer one of the questions."))
    return GoldAnswer(payload, _tolerance(value.get("tolerance"), feedback_kind.likenesses(options)), purpose)


def as_given(feedback_kind: FeedbackType, gold: GoldAnswer, *, count: int) -> dict[str, Any]:
    """Return gold as it could be given: the inverse of `read`."""
    answer = feedback_kind.initial(gold.payload, shown_order=range(count))
    return {"answer": answer, "tolerance": dict(gold.tolerance), **({"purpose": gold.purpose} if gold.purpose else {})}


def compare(
    feedback_kind: FeedbackType,
    gold: GoldAnswer,
    payload: Payload,
    *,
    options: Mapping[str, Any],
    shown_order: Sequence[int] | None = None,
) -> list[Compared]:
    """Return what a judgement has right and wrong, thing by thing; in terms of the screen with `shown_order`."""
    right, said = (list(feedback_kind.gold_points(one)) for one in (gold.payload, payload))
    words = _Words(feedback_kind, options, shown_order)
    found = []
    for like in feedback_kind.likenesses(options):
        tolerance = gold.tolerance.get(like.name, like.measure.usual)
        if tolerance is None:
            continue
        wanted_by_place, given_by_place = (_things(like, points) for points in (right, said))
        for place, wanted in wanted_by_place.items():
            given = given_by_place.get(place, {})
            distance = like.measure.distance(wanted, given)
            is_hit = distance <= tolerance
            score = max(0.0, 1 - distance) if like.measure.graded else float(is_hit)
            where = words.where(place) if len(wanted_by_place) > 1 else ""
            sentence = where + words.sentence(like, wanted, given, distance=distance, is_hit=is_hit)
            found.append(Compared(like.name, place, score, is_hit, sentence))
    return found


def _things(like: Likeness, points: Sequence[Point]) -> dict[int, Points]:
    """Return the points that a likeness is about, by answer; all as one where they are one thing."""
    things: dict[int, dict[tuple[str, int], Point]] = {}
    for point in points:
        if point.dimension in like.dimensions:
            things.setdefault(0 if like.measure.whole else point.place, {})[point.dimension, point.place] = point
    return dict(things)


class _Words:
    """What a person is told about each thing."""

    def __init__(
        self, feedback_kind: FeedbackType, options: Mapping[str, Any], shown_order: Sequence[int] | None
    ) -> None:
        self._kind, self._options, self._order = feedback_kind, options, shown_order

    def where(self, place: int) -> str:
        """Return which answer or turn it is about, as a sentence begins with it."""
        if scope_of(self._options) == EACH_TURN:
            return _("Turn {n}, ").format(n=place + 1)
        if self._order is None:
            return _("Answer {n}, ").format(n=place + 1)
        letter = letters(range(len(self._order)))[list(self._order).index(place)]
        return _("Answer {n}, ").format(n=letter)

    def sentence(self, like: Likeness, wanted: Points, given: Points, *, distance: float, is_hit: bool) -> str:
        if like.measure.whole:
            right = round((1 - distance) * len(wanted))
            told = _("{title}: {right} of {all} pairs of answers stand as in the right order.")
            return told.format(title=like.title, right=right, all=len(wanted))
        if like.measure is CORRECTED:
            share = round(100 * (1 - distance))
            return _("{title}: {share} per cent of it is changed.").format(title=like.title, share=share)
        asked, answered = self._of(like, wanted), self._of(like, given)
        if distance == 0:
            return _("{title}: {said}, which is right.").format(title=like.title, said=answered)
        if not answered:
            return _("{title}: right is {gold}; you left it open.").format(title=like.title, gold=asked)
        told = _("{title}: right is {gold}; you said {said}.")
        if is_hit:
            told = _("{title}: right is {gold}; you said {said}, which is near enough.")
        return told.format(title=like.title, gold=asked, said=answered)

    def _of(self, like: Likeness, points: Points) -> str:
        if like.measure is OVERLAP:
            titles = {one.name: one.title for one in self._kind.dimensions(self._options)}
            return ", ".join(titles.get(name, name) for name in sorted(chosen(points))) or _("none")
        return ", ".join(
            self._kind.point_in_words(point, options=self._options, shown_order=self._order)
            for point in points.values()
        )


def _tolerance(value: Any, likenesses: Sequence[Likeness]) -> dict[str, float | None]:
    """Return a tolerance that was given; raises `Invalid`."""
    if value is None:
        return {}
    measures = {like.name: like.measure for like in likenesses}
    if not isinstance(value, Mapping):
        raise _invalid(_("Give the tolerance as an object of names and numbers."), "tolerance")
    read: dict[str, float | None] = {}
    for name, given in value.items():
        measure = measures.get(name)
        if measure is None:
            message = _("There is nothing called {name} to tolerate; there are: {known}.")
            raise _invalid(message.format(name=repr(str(name)[:40]), known=", ".join(measures)), "tolerance")
        is_number = isinstance(given, int | float) and not isinstance(given, bool)
        if given is not None and not (is_number and 0 <= given <= measure.most):
            message = _("The tolerance of {name} is null or a number from 0 to {most}: {meaning}.")
            told = message.format(name=name, most=f"{measure.most:g}", meaning=measure.meaning)
            raise _invalid(told, "tolerance")
        read[str(name)] = None if given is None else float(given)
    return read


def _invalid(message: str, name: str = "gold") -> Invalid:
    return Invalid(message, {name: [message]})
