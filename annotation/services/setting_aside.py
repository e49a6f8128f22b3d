"""Setting an item aside for later: the seat goes back at once, what was typed stays with the person.

A seat that is kept for somebody who may never return would hold up a round, so it is not kept: whoever comes back to an
item gets it if it still wants a judgement. The draft is theirs in any case.
"""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation import limits
from annotation.errors import CampaignClosed, LeaseLost, TooMany
from annotation.models import Assignment, Campaign, Task, User
from annotation.services import blocks, members
from annotation.services.queue import ONE_SEAT_MORE, lock_task, new_lease, release
from annotation.services.submission import check_draft, refuse_closed

# So many items of one campaign a person may have set aside; beyond that nobody comes back to them.
MOST = 20

_OPEN, _POSTPONED = Assignment.State.OPEN, Assignment.State.POSTPONED


def set_aside(*, assignment: Assignment, draft: dict[str, Any] | None = None) -> Assignment:
    """Put the item on this person's pile for later, with `draft` if one is given; safe to repeat.

    It goes back to the queue meanwhile. Raises `TooMany`, and `LeaseLost` for what was judged or skipped.
    """
    if draft is not None:
        check_draft(draft)
    with transaction.atomic():
        task = lock_task(assignment.task_id)
        held = Assignment.objects.select_related("campaign").get(pk=assignment.pk)
        refuse_closed(held.campaign)
        if held.state in (Assignment.State.SUBMITTED, Assignment.State.SKIPPED):
            raise LeaseLost(_("You have judged or skipped this item already, so it cannot be set aside."))
        others = Assignment.objects.filter(user=held.user_id, campaign=held.campaign_id, state=_POSTPONED)
        if held.state != _POSTPONED and others.count() >= MOST:
            told = _(
                "You have set {n} items aside, as many as one may here. Judge one of them, or take one off the list, "
                "before you set another aside."
            )
            raise TooMany(told.format(n=MOST))
        if held.state == _OPEN:
            Task.objects.filter(pk=task.pk).update(seats=F("seats") + 1)
        held.closed_at = held.closed_at if held.state == _POSTPONED else timezone.now()
        held.state = _POSTPONED
        if draft is not None:
            held.draft = draft
        held.save(update_fields=["state", "closed_at", "draft"])
    return held


def take_up(*, assignment: Assignment) -> Assignment:
    """Return the item with a new lease, which this person had set aside; safe to repeat.

    Raises `LeaseLost` when other people have judged it meanwhile, and `CampaignClosed` while nothing is handed out.
    """
    for _again in range(5):
        _make_room(assignment)
        try:
            with transaction.atomic():
                return _reopen(assignment)
        except IntegrityError:
            continue  # another tab took the free place meanwhile: look again
    raise TooMany(_("Another page of yours took an item at the same moment. Try once more."))


def let_go(*, assignment: Assignment) -> None:
    """Take the item off the pile: it is the queue's again, and may come back to this person like any other."""
    held = Assignment.objects.filter(pk=assignment.pk, state=_POSTPONED)
    with transaction.atomic():
        lock_task(assignment.task_id)
        held.update(state=Assignment.State.RELEASED)


def pile(*, user: User, campaign: Campaign) -> list[Assignment]:
    """Return what this person has set aside here, the oldest first, each with its task."""
    kept = Assignment.objects.filter(user=user, campaign=campaign, state=_POSTPONED)
    return list(kept.select_related("task").order_by("closed_at", "id"))


def is_wanted(assignment: Assignment) -> bool:
    """Return whether an item on the pile still wants a judgement that nobody is at work on."""
    return _has_room(assignment, assignment.task)


def _has_room(assignment: Assignment, task: Task) -> bool:
    """Return whether this person can have the item now. Where its answer is known there is room for everybody."""
    if assignment.is_gold:
        return task.state != Task.State.WITHDRAWN
    return task.state == Task.State.OPEN and task.seats > 0


def _make_room(assignment: Assignment) -> None:
    """Hand back what was fetched ahead when both places are taken; it has not been on a screen yet.

    In a transaction of its own, so that this never holds one task while it waits for another.
    """
    held = Assignment.objects.filter(user=assignment.user_id, campaign=assignment.campaign_id, state=_OPEN)
    others = list(held.exclude(pk=assignment.pk).order_by("created_at", "id"))
    if len(others) >= Assignment.SLOTS:
        release(assignment=others[-1])


def _reopen(assignment: Assignment) -> Assignment:
    task = lock_task(assignment.task_id)
    held = Assignment.objects.select_related("campaign", "task", "user").get(pk=assignment.pk)
    campaign = held.campaign
    if held.state == _OPEN:
        return held
    if held.state != _POSTPONED:
        raise LeaseLost(_("This item is not among those you set aside any more; what you typed is kept."))
    if not campaign.is_open:
        told = _("This campaign hands out no items now. What you set aside is kept, with what you typed.")
        raise CampaignClosed(told)
    if members.is_held_back(held.user, campaign):
        raise TooMany(_("The lead lets you judge nothing more here for now. It is kept, with what you typed."))
    if limits.is_enough(held.user, campaign, held=0):
        told = _("You have judged as many items as one person does here for now. It is kept for another day.")
        raise TooMany(told)
    if not _has_room(held, task):
        raise LeaseLost(
            _("Other people have judged this item meanwhile, or have it on screen. What you typed is kept with it.")
        )
    own = Assignment.objects.filter(user=held.user_id, campaign=campaign, state=_OPEN)
    taken = set(own.values_list("slot", flat=True))
    Task.objects.filter(pk=task.pk).update(**ONE_SEAT_MORE)
    if held.is_gold:
        blocks.mark(task)  # it may want one judgement more
    lease = new_lease(campaign, min({0, 1} - taken, default=0))
    for name, value in lease.items():
        setattr(held, name, value)
    held.save(update_fields=list(lease))
    return held
