"""Reviewing: items on which people differ, the widest apart first; accept a judgement, or override them all."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Count, Exists, F, Max, OuterRef
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation.access import Action, roles_for
from annotation.dataset_filters import agreement_of
from annotation.errors import Invalid
from annotation.feedback import kind, of_item
from annotation.models import Adjudication, Assignment, Campaign, Cause, Feedback, Membership, Task, User
from annotation.services import blocks, disclosure, events
from annotation.services.queue import lock_task
from annotation.storable import unstorable

LOOKED_AT = 4_000  # newest judgements among which conflicts are looked for
AT_ONCE = 100  # items on which people differ that are asked about in one statement
MOST_NOTE = 2_000
# In these an item is the person's own: whoever has it on screen or judged it decides nothing about it.
_OWN = (Assignment.State.OPEN, Assignment.State.SUBMITTED)


@dataclass(frozen=True)
class Conflict:
    """An item that several people judged, and the share of pairs of judgements that say the same."""

    task: Task
    judgements: int
    agreement: float


def conflicts(campaign: Campaign, *, reviewer: User | None = None, limit: int = 50) -> list[Conflict]:
    """Return items without a decision on which people differ, the widest apart first. A few statements.

    None that the `reviewer` judged or holds: nobody decides between others and themselves. The newest judgements are
    read off their index, and only of items on which people differ is asked whether they are for this reviewer: as one
    statement PostgreSQL would ask that of each of a million judgements.
    """
    feedback_kind = kind(campaign.kind)
    newest = Feedback.objects.current().filter(campaign=campaign).order_by("-id")
    points: dict[int, list[list[Any]]] = defaultdict(list)
    for task, payload, review in newest.values_list("task_id", "payload", "is_review")[:LOOKED_AT]:
        if not review:
            points[task].append(list(feedback_kind.points(payload)))
    shares = {task: agreement_of(of_task) for task, of_task in points.items() if len(of_task) > 1}
    apart = sorted((share, task) for task, share in shares.items() if share is not None and share < 1)
    found: list[Conflict] = []
    for start in range(0, len(apart), AT_ONCE):
        chunk = apart[start : start + AT_ONCE]
        tasks = _for_review([task for _share, task in chunk], reviewer)
        found += [Conflict(tasks[task], len(points[task]), share) for share, task in chunk if task in tasks]
        if len(found) >= limit:
            break
    return found[:limit]


def _for_review(tasks: list[int], reviewer: User | None) -> dict[int, Task]:
    """Return those of these items that nobody has decided about and that this reviewer may."""
    decided = Adjudication.objects.filter(task=OuterRef("pk"), is_current=True)
    found = Task.objects.filter(pk__in=tasks, gold=None).exclude(Exists(decided))
    if reviewer is not None:
        found = found.exclude(Exists(Assignment.objects.filter(task=OuterRef("pk"), user=reviewer, state__in=_OWN)))
    return {task.pk: task for task in found}


def flagged(campaign: Campaign, *, limit: int = 50) -> list[tuple[Task, int]]:
    """Return items without a decision that somebody flagged, and how many did, the newest first. Two statements."""
    decided = Adjudication.objects.filter(task=OuterRef("task"), is_current=True)
    counts = list(
        Feedback.objects.current()
        .filter(campaign=campaign, flagged=True)
        .exclude(Exists(decided))
        .values("task_id")
        .annotate(flags=Count("id"), last=Max("id"))
        .order_by("-last")
        .values_list("task_id", "flags")[:limit]
    )
    tasks = Task.objects.in_bulk([task for task, _flags in counts])
    return [(tasks[task], flags) for task, flags in counts]


def causes(campaign: Campaign) -> dict[str, int]:
    """Return how often each cause was named, of the decisions that stand; most often first."""
    named = Adjudication.objects.filter(campaign=campaign, is_current=True).order_by().values_list("cause")
    counts = dict(named.annotate(n=Count("pk")))
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def look(*, task: Task, reviewer: User) -> None:
    """Note that this person sees what others said of the item: it is not handed to them any more, and audited.

    Raises `Invalid` for who has it on screen: they judge it blind first, or hand it back.
    """
    if Membership.objects.filter(campaign=task.campaign_id, user=reviewer, role__in=roles_for(Action.JUDGE)).exists():
        _hand_out_no_more(task, reviewer)
    if Feedback.objects.current().filter(task=task).exclude(user=reviewer).exists():
        disclosure.note(campaign=task.campaign, actor=reviewer, what="seen", target=f"item {task.external_id}")


def _hand_out_no_more(task: Task, reviewer: User) -> None:
    now = timezone.now()
    seen, _is_new = Assignment.objects.get_or_create(
        task=task,
        user=reviewer,
        defaults={
            "campaign_id": task.campaign_id,
            "shown_order": list(range(len(task.content["completions"]))),
            "state": Assignment.State.SKIPPED,
            "skip_reason": "other",
            "skip_note": "They saw in review what others said.",
            "expires_at": now,
            "closed_at": now,
        },
    )
    if seen.state == Assignment.State.OPEN:
        raise Invalid(_("You hold this item yourself: judge it or hand it back first."))
    if seen.state not in (Assignment.State.SUBMITTED, Assignment.State.SKIPPED):
        Assignment.objects.filter(pk=seen.pk, state=seen.state).update(
            state=Assignment.State.SKIPPED, skip_reason="other"
        )


def judgements(task: Task) -> list[Feedback]:
    """Return what stands of an item, the oldest first; a reviewer's own last."""
    return list(
        Feedback.objects.current()
        .filter(task=task)
        .select_related("user", "returned", "assignment")
        .order_by("is_review", "id")
    )


def decision(task: Task) -> Adjudication | None:
    """Return the decision that stands."""
    return Adjudication.objects.filter(task=task, is_current=True).select_related("feedback", "reviewer").first()


@transaction.atomic
def accept(*, feedback: Feedback, cause: str, note: str = "", actor: User) -> Adjudication:
    """Let a judgement stand for its item; raises `Invalid`. All others are kept, and exports give both as asked."""
    lock_task(feedback.task_id)
    if Feedback.objects.current().filter(task=feedback.task_id, user=actor, is_review=False).exists():
        raise Invalid(_("You judged this item yourself; let another reviewer decide."))
    if not Feedback.objects.current().filter(pk=feedback.pk).exists():
        raise Invalid(_("There is a newer version of this judgement; look at that one."))
    return _decide(feedback, cause=cause, note=note, actor=actor, action="item.accepted")


@transaction.atomic
def override(*, task: Task, data: Mapping[str, Any], cause: str, note: str = "", actor: User) -> Adjudication:
    """Let the reviewer's own answer stand; `data` is in the canonical order of the answers. Raises `Invalid`.

    It is stored as their judgement, marked `is_review`, so that exports have it like any other and agreement does not.
    """
    campaign = task.campaign
    order = list(range(len(task.content["completions"])))
    options = of_item.for_task(campaign.options, task)
    payload = kind(campaign.kind).parse(data, options=options, shown_order=order)
    lock_task(task.pk)
    now = timezone.now()
    assignment, is_new = Assignment.objects.get_or_create(
        task=task,
        user=actor,
        defaults={
            "campaign": campaign,
            "shown_order": order,
            "state": Assignment.State.SUBMITTED,
            "expires_at": now,
            "closed_at": now,
        },
    )
    current = Feedback.objects.current().filter(assignment=assignment).first()
    if current is None and not is_new and assignment.state == Assignment.State.OPEN:
        raise Invalid(_("You hold this item yourself: judge it or hand it back first."))
    if current is None:
        # One more than was wanted, so that nobody's seat is taken.
        Task.objects.filter(pk=task.pk).update(wanted=F("wanted") + 1, done=F("done") + 1)
        Assignment.objects.filter(pk=assignment.pk).update(state=Assignment.State.SUBMITTED, closed_at=now, draft=None)
    elif not current.is_review:
        raise Invalid(_("You judged this item yourself, blind. Accept a judgement, or let another reviewer decide."))
    else:
        Feedback.objects.filter(pk=current.pk).update(is_current=False)
    stored = Feedback.objects.create(
        campaign=campaign,
        task=task,
        assignment=assignment,
        user=actor,
        kind=campaign.kind,
        payload=payload,
        shown_order=order,
        version=current.version + 1 if current else 1,
        supersedes=current,
        client_key=secrets.token_urlsafe(24),
        guideline_version=campaign.guideline_version,
        is_review=True,
    )
    blocks.mark(task)
    return _decide(stored, cause=cause, note=note, actor=actor, action="item.overridden")


def _decide(feedback: Feedback, *, cause: str, note: str, actor: User, action: str) -> Adjudication:
    note = note.strip()
    if cause not in Cause.values:
        message = _("Say why people differed; there are: {causes}.").format(causes=", ".join(Cause.values))
        raise Invalid(message, {"cause": [message]})
    wrong = unstorable(note)
    if not wrong and len(note) > MOST_NOTE:
        wrong = _("At most {most} characters are kept.").format(most=MOST_NOTE)
    if wrong:
        raise Invalid(wrong, {"note": [wrong]})
    Adjudication.objects.filter(task=feedback.task_id, is_current=True).update(is_current=False)
    decided = Adjudication.objects.create(
        campaign_id=feedback.campaign_id,
        task_id=feedback.task_id,
        feedback=feedback,
        reviewer=actor,
        cause=cause,
        note=note,
    )
    detail = {"judgement": feedback.pk, "cause": cause}
    events.record(
        campaign=feedback.campaign,
        actor=actor,
        action=action,
        target=f"item {feedback.task.external_id}",
        detail=detail,
    )
    return decided
