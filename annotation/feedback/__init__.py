"""The registry of feedback kinds: one module is one kind, and one line here."""

from __future__ import annotations

import difflib

from django.utils.translation import gettext as _

from annotation.errors import Invalid
from annotation.feedback.base import FeedbackType
from annotation.feedback.critique import Critique
from annotation.feedback.dual import Dual
from annotation.feedback.marked import Marked
from annotation.feedback.pairwise import Pairwise
from annotation.feedback.principled_critique import PrincipledCritique
from annotation.feedback.principles import Principles
from annotation.feedback.ranking import Ranking
from annotation.feedback.ratings import Ratings
from annotation.feedback.rewrite import Rewrite
from annotation.feedback.safety import Safety
from annotation.feedback.scoped import Scoped


def _registry(*kinds: FeedbackType) -> dict[str, FeedbackType]:
    """Return the kinds by name, each with a choice of scope if it has one; refuses two of one name."""
    table: dict[str, FeedbackType] = {}
    for one in kinds:
        if one.name in table:
            raise ValueError(f"Two feedback kinds are called {one.name!r}.")
        table[one.name] = Scoped(one) if len(one.scopes) > 1 else one
    return table


KINDS: dict[str, FeedbackType] = _registry(
    *map(
        Marked,
        (
            *(Pairwise(), Dual(), Ranking(), Ratings(), Safety()),
            *(Principles(), Critique(), PrincipledCritique(), Rewrite()),
        ),
    )
)


def kind(name: str) -> FeedbackType:
    """Return the kind called `name`; raises `Invalid` that suggests the nearest one."""
    found = KINDS.get(name)
    if found is None:
        near = difflib.get_close_matches(name, KINDS, n=1)
        message = _("There is no feedback kind {name}; there are: {known}.")
        if near:
            message = _("There is no feedback kind {name}; did you mean {near}?")
        message = message.format(name=repr(name), near=repr("".join(near)), known=", ".join(KINDS))
        raise Invalid(message, {"kind": [message]})
    return found


__all__ = ["KINDS", "FeedbackType", "kind"]
