"""The right answers to items: set, taken away, and what a judgement got right."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from annotation import gold
from annotation.feedback import kind
from annotation.models import Campaign, Feedback, Gold, QualityReport, Task, User
from annotation.services import events


@transaction.atomic
def set_gold(*, task: Task, value: Any, actor: User) -> Gold:
    """Store the right answer to an item, in place of another one; raises `Invalid`. Judgements stay as they are."""
    campaign = task.campaign
    read = gold.read(kind(campaign.kind), value, options=campaign.options, count=answers_of(task))
    before = _as_kept(task)
    stored, _ = Gold.objects.update_or_create(task=task, defaults={**read.as_stored(), "created_by": actor})
    _record(campaign, actor, "gold.set", task, {"gold": (before, read.as_stored())})
    return stored


@transaction.atomic
def take_away(*, task: Task, actor: User) -> None:
    """Make the item one without a right answer; nothing happens when it has none."""
    before = _as_kept(task)
    if Gold.objects.filter(task=task).delete()[0]:
        _record(task.campaign, actor, "gold.removed", task, {"gold": (before, None)})


def as_given(stored: Gold) -> dict[str, Any]:
    """Return gold as it could be set: the fields of a judgement, and the tolerance."""
    answer = gold.GoldAnswer(stored.payload, stored.tolerance)
    return gold.as_given(kind(stored.task.campaign.kind), answer, count=answers_of(stored.task))


def compare(*, stored: Gold, judged: Feedback) -> list[gold.Compared]:
    """Return what a judgement of the item has right and wrong, in terms of what its author saw."""
    return gold.compare(
        kind(judged.kind),
        gold.GoldAnswer(stored.payload, stored.tolerance),
        judged.payload,
        options=judged.campaign.options,
        shown_order=judged.shown_order,
    )


def answers_of(task: Task) -> int:
    """Return how many answers, or turns, an item has."""
    return len(task.content["completions"])


def _as_kept(task: Task) -> dict[str, Any] | None:
    """Return what is stored as the right answer to the item, for the audit trail; None when nothing is."""
    stored = Gold.objects.filter(task=task).first()
    return None if stored is None else {"payload": stored.payload, "tolerance": stored.tolerance}


def _record(campaign: Campaign, actor: User, action: str, task: Task, changes: dict[str, tuple[Any, Any]]) -> None:
    # The report tells who was right: it is out of date now.
    QualityReport.objects.filter(campaign=campaign).update(judgements=0)
    events.record(campaign=campaign, actor=actor, action=action, target=f"item {task.external_id}", changes=changes)
