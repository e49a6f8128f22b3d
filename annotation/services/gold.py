"""The right answers to items: set, retired, taken away, and what a judgement got right.

Items that are mixed in, practised on or tested with are parked: they want no more judgements than they have, so that
the queue passes them by, and are handed out by `annotation.rotation` and `services.trials` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import transaction
from django.db.models import Case, Count, F, OuterRef, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from annotation import gold, rotation
from annotation.feedback import kind
from annotation.models import Assignment, Campaign, Feedback, Gold, QualityReport, Task, User
from annotation.services import blocks, events
from annotation.services.queue import QUEUE_ORDER


@transaction.atomic
def set_gold(*, task: Task, value: Any, actor: User | None) -> Gold:
    """Store the right answer to an item, in place of another one; raises `Invalid`. Judgements stay as they are.

    Without a purpose it keeps the one it has. What was retired is used again.
    """
    campaign = task.campaign
    texts = [completion["text"] for completion in task.content["completions"]]
    read = gold.read(kind(campaign.kind), value, options=campaign.options, texts=texts)
    before = _as_kept(task)
    kept = {**read.as_stored(), "created_by": actor, "retired_at": None}
    stored, _is_new = Gold.objects.update_or_create(task=task, defaults=kept)
    arrange(campaign=campaign, tasks=[task.pk])
    _record(campaign, actor, "gold.set", task, {"gold": (before, _kept(stored))})
    return stored


def from_judgement(
    *, judged: Feedback, actor: User, tolerance: Mapping[str, float | None] | None = None, purpose: str = ""
) -> Gold:
    """Make what a judgement says the right answer to its item; raises `Invalid` where gold cannot be what it says."""
    task = judged.task
    answer = kind(judged.kind).initial(judged.payload, shown_order=range(answers_of(task)))
    given = {"answer": answer, "tolerance": tolerance, **({"purpose": purpose} if purpose else {})}
    return set_gold(task=task, value=given, actor=actor)


@transaction.atomic
def retire(*, stored: Gold, actor: User) -> Gold:
    """Hand the item out as gold no more; it becomes one like any other. What it tells of earlier judgements stays."""
    if stored.retired_at is None:
        stored.retired_at = timezone.now()
        stored.save(update_fields=["retired_at"])
        arrange(campaign=stored.task.campaign, tasks=[stored.task_id])
        _record(stored.task.campaign, actor, "gold.retired", stored.task, {"purpose": (stored.purpose, None)})
    return stored


@transaction.atomic
def take_away(*, task: Task, actor: User) -> None:
    """Make the item one without a right answer; nothing happens when it has none."""
    before = _as_kept(task)
    if Gold.objects.filter(task=task).delete()[0]:
        arrange(campaign=task.campaign, tasks=[task.pk])
        _record(task.campaign, actor, "gold.removed", task, {"gold": (before, None)})


@transaction.atomic
def arrange(*, campaign: Campaign, tasks: Iterable[int] | None = None) -> None:
    """Park the items whose answer is known, or let the queue have them again, as purpose and campaign say.

    `tasks` are ids; None: all gold of the campaign. Seats that people hold stay theirs.
    """
    found = Task.objects.filter(campaign=campaign).exclude(state=Task.State.WITHDRAWN)
    found = found.filter(gold__isnull=False) if tasks is None else found.filter(pk__in=list(tasks))
    locked = list(
        found.order_by(*QUEUE_ORDER).select_for_update(no_key=True, of=("self",)).values_list("pk", flat=True)
    )
    used = Gold.objects.filter(task__in=locked, retired_at=None).values_list("task_id", "purpose")
    parked = {task for task, purpose in used if rotation.is_parked(campaign, purpose)}
    live = Assignment.objects.filter(task=OuterRef("pk"), state=Assignment.State.OPEN).order_by().values("task")
    held = F("done") + Coalesce(Subquery(live.annotate(n=Count("pk")).values("n")), 0)
    Task.objects.filter(pk__in=parked).update(wanted=held, seats=0, state=Task.State.COMPLETE)
    free = Task.objects.filter(pk__in=set(locked) - parked, state=Task.State.COMPLETE)
    # What was made for one person asks nobody else.
    wanted = Case(When(assignee=None, then=Value(campaign.overlap)), default=Value(1))
    free.filter(wanted__lt=wanted).update(wanted=wanted, seats=wanted - held, state=Task.State.OPEN)
    # Seats that were given back while it was parked.
    free.filter(done__lt=F("wanted")).update(state=Task.State.OPEN)
    blocks.mark_all(locked)


def as_given(stored: Gold) -> dict[str, Any]:
    """Return gold as it could be set: the fields of a judgement, and the tolerance."""
    answer = gold.GoldAnswer(stored.payload, stored.tolerance, stored.purpose)
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
    return None if stored is None else _kept(stored)


def _kept(stored: Gold) -> dict[str, Any]:
    return {"payload": stored.payload, "tolerance": stored.tolerance, "purpose": stored.purpose}


def _record(
    campaign: Campaign, actor: User | None, action: str, task: Task, changes: dict[str, tuple[Any, Any]]
) -> None:
    # The report tells who was right: it is out of date now.
    QualityReport.objects.filter(campaign=campaign).update(judgements=0)
    events.record(campaign=campaign, actor=actor, action=action, target=f"item {task.external_id}", changes=changes)
