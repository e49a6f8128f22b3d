"""What a model said of an item before anybody judged it, given with the item when it is imported.

People see it after they have answered, in their history and when they open the item again, and never before: an answer
in sight anchors theirs. Exports of judgements have it beside what people said, with how much of it they agreed with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _

from annotation.errors import Invalid
from annotation.feedback.base import FeedbackType, Payload

NAME = "suggestion"  # in a row that is imported, and in `Task.meta`
PARTS = ("answer", "by", "score", "critiques")
MAX_BY = 120
MAX_CRITIQUE = 8000


def read(feedback_kind: FeedbackType, value: Any, *, options: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Return ``{"payload", "by", "score"}`` of ``{"answer": {…}, "by"?: str, "score"?: number, "critiques"?: […]}``.

    The answer has the fields of a judgement with the item's answers in canonical order: ``_1`` is the first one of its
    row. Texts that only explain may be left out. The critiques are what the model wrote about each
    answer, in plain text, in the order of the row; where there are some they are kept as well. Raises `Invalid`.
    """
    if not isinstance(value, Mapping) or not isinstance(value.get("answer"), Mapping):
        raise _invalid(_('Give it as an object: {"answer": {…the fields of a judgement…}, "by": "a model"}.'))
    if unknown := [str(name)[:40] for name in value if name not in PARTS]:
        raise _invalid(_("It has no part {name}; there are: {names}.").format(name=unknown[0], names=", ".join(PARTS)))
    by, score = value.get("by") or "", value.get("score")
    if not isinstance(by, str) or len(by) > MAX_BY:
        raise _invalid(_("Give who suggests it in at most {n} characters.").format(n=MAX_BY))
    if score is not None and (
        isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score)
    ):
        raise _invalid(_("Its score is no number."))
    critiques = value.get("critiques")
    if critiques is not None and not _are_critiques(critiques, count=count):
        raise _invalid(
            _("Give its critiques as a list of one text for each answer, of at most {n} characters.").format(
                n=MAX_CRITIQUE
            )
        )
    told = _("Its answer does not fit. {reasons}")
    payload = feedback_kind.parse_given(value["answer"], options=options, count=count, told=told)
    written = {"critiques": [text.strip() for text in critiques]} if critiques else {}
    return {"payload": payload, "by": by, "score": score, **written}


def _are_critiques(value: Any, *, count: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == count
        and all(isinstance(text, str) and len(text) <= MAX_CRITIQUE for text in value)
    )


def as_given(feedback_kind: FeedbackType, stored: Mapping[str, Any], *, count: int) -> dict[str, Any]:
    """Return a stored suggestion as it could be given: the inverse of `read`."""
    answer = feedback_kind.initial(stored["payload"], shown_order=range(count))
    return {"answer": answer, "by": stored["by"], "score": stored["score"]}


def in_words(
    feedback_kind: FeedbackType, meta: Mapping[str, Any], *, options: Mapping[str, Any], shown_order: Sequence[int]
) -> str:
    """Return what was suggested, in terms of the screen; empty when nothing was. Only for who has answered."""
    suggested = meta.get(NAME)
    if not suggested:
        return ""
    words = feedback_kind.describe(suggested["payload"], options=options, shown_order=shown_order)
    critiques = suggested.get("critiques") or []
    told = [
        f"{chr(ord('A') + place)}: {critiques[index]}" if len(critiques) > 1 else critiques[index]
        for place, index in enumerate(shown_order)
        if index < len(critiques) and critiques[index]
    ]
    return ". ".join([words, " ".join(told)]) if told else words


def column(
    feedback_kind: FeedbackType, meta: Mapping[str, Any], payload: Payload, *, options: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return what was suggested and how much of it the judgement agrees with; None when nothing was."""
    suggested = meta.get(NAME)
    if not suggested:
        return None
    return {
        **suggested,
        "verdict": feedback_kind.verdict(suggested["payload"], options=options),
        "agreement": agreement(feedback_kind, suggested["payload"], payload),
    }


def agreement(feedback_kind: FeedbackType, suggested: Payload, payload: Payload) -> float | None:
    """Return the share of points on which two judgements fall into the same class, 0 to 1; None without any point."""
    one, other = (
        {(point.dimension, point.place): point.category for point in feedback_kind.points(said)}
        for said in (suggested, payload)
    )
    both = one.keys() & other.keys()
    return sum(one[key] == other[key] for key in both) / len(both) if both else None


def _invalid(reason: str) -> Invalid:
    return Invalid(reason, {NAME: [reason]})
