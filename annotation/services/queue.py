"""Who judges what next: seats of tasks are handed out on leases, and come back when nobody uses them.

The rule that makes all of this safe: the state of an assignment changes only while its task's row is locked. So
`seats == wanted - done - open assignments` holds at every commit. On PostgreSQL the lock is the row's; on SQLite
`select_for_update` does nothing and the IMMEDIATE transaction excludes every other writer instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import (
    BigIntegerField,
    Case,
    CharField,
    DateTimeField,
    Exists,
    F,
    Func,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Coalesce, Concat, Greatest, StrIndex
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation import limits, placement, rotation
from annotation.errors import LeaseLost, NotAgreed, NotQualified
from annotation.limits import BETWEEN
from annotation.models import Assignment, Campaign, Feedback, Gold, Task, User
from annotation.models.work import made_for
from annotation.prepared import Call, Insert, Select, Update, together
from annotation.services import blocks

# An assignment that ended in one of these left nothing behind: its task may be offered to the same person again.
RETURNED = (Assignment.State.EXPIRED, Assignment.State.RELEASED)
# What somebody set aside is offered to them again by itself only when nothing else is left.
RETURNED_OR_SET_ASIDE = (*RETURNED, Assignment.State.POSTPONED)
# Who has or had it on their screen and did not give it back.
HAVING = (Assignment.State.OPEN, Assignment.State.SUBMITTED)
SWEEP = 500
# Who waits for the locks of several tasks takes them in this order, or two could wait for each other.
QUEUE_ORDER = (F("priority").desc(), F("id").asc())


class _Overtaken(Exception):
    """Somebody changed the row between our look and our lock; look again."""


def _first_open_task(
    user: Any,
    campaign: Any,
    barred: Any,
    full: Any,
    *,
    skip_locked: bool,
    states: Sequence[str] = RETURNED,
    held: bool = False,
) -> QuerySet[Task]:
    """Return the queryset behind a claim; its values come with each call.

    `states` are those of an assignment this person had before that do not keep them from having the item again. With
    `held`, the first one whose seats are all taken, of which some are with people who have not sent theirs.

    The queue's index is walked in order, and each row asks what came of the person's own assignment. Both are forced
    on PostgreSQL, which guesses from old statistics: as a join it would read the whole table and sort it (400 ms at
    50,000 tasks), and by the index of users it would read all a person ever had for each row. Hence the subqueries,
    and the `+ 0`, which no index answers: the few assignments of one task are looked through instead. Whether an item
    is for this person at all stands in the row that is walked past, so it is asked before. Not as a filter of its own:
    PostgreSQL takes any `tags & n = 0` to be true of one row in two hundred, and would again read and sort it all.
    """
    mine = Assignment.objects.alias(who=F("user_id") + 0).filter(task=OuterRef("pk"), who=user)
    asked = Coalesce(Subquery(mine.values("state")), Value(Assignment.State.RELEASED), output_field=CharField())
    between = Value(BETWEEN, output_field=CharField())
    is_full = StrIndex(full, Concat(between, F("batch"), between, output_field=CharField()))
    # A quota shares out what is everybody's: nobody else could judge what was made for one person.
    is_theirs = Q(made_for(user), Q(in_full=0) | Q(assignee=user), in_the_way=0)
    came_to = Case(When(is_theirs, then=asked), default=Value("barred"), output_field=CharField())
    on_screens = Assignment.objects.filter(campaign=campaign, state=Assignment.State.OPEN).values("task")
    taken = Task.objects.filter(pk__in=on_screens, state=Task.State.OPEN, seats=0)
    taken = taken.filter(~Exists(Gold.objects.filter(task=OuterRef("pk"))))
    return (
        (taken if held else Task.objects.open())
        .filter(Exists(Campaign.objects.filter(pk=campaign, state=Campaign.State.OPEN)), campaign=campaign)
        .alias(in_the_way=F("tags").bitand(barred), in_full=is_full)
        .alias(came_to=came_to)
        .filter(came_to__in=states)
        .annotate(
            returned_id=Subquery(mine.values("pk")),
            returned_key=Subquery(mine.values("key")),
            returned_order=Subquery(mine.values("shown_order")),
            returned_draft=Subquery(mine.values("draft")),
            **what_went_before(user, campaign),
        )
        .order_by(*QUEUE_ORDER)
        .select_for_update(skip_locked=skip_locked, no_key=True)[:1]
    )


def what_went_before(user: Any, campaign: Any) -> dict[str, Any]:
    """Return what `placement` leans against, to be read with a claim: of the item, and of the person's last judgement.

    The index of a person's judgements is asked for its newest row; what they hold besides is known already. Both are
    greatest ids and not first rows of an order: on a table it takes to be small, PostgreSQL would read and sort it.
    """
    greatest = Func(F("id"), function="MAX", output_field=BigIntegerField())  # `Max` would group, and read all rows
    having = Assignment.objects.filter(task=OuterRef(OuterRef("pk")), state__in=HAVING).annotate(last=greatest)
    last = Assignment.objects.filter(pk=Subquery(having.values("last")))
    judged = Feedback.objects.filter(user=user, campaign=campaign).annotate(last=greatest)
    newest = Feedback.objects.filter(pk=Subquery(judged.values("last")))
    return {
        # Nobody has most items yet, and then nothing is looked up.
        "order_before": Case(When(seats__lt=F("wanted"), then=Subquery(last.values("shown_order"))), default=None),
        "leaning_before": Subquery(newest.values("assignment__leaning")),
    }


# What every item costs: the SQL of these is written once.
_WHO_AND_WHERE: Any = {"user": BigIntegerField(), "campaign": BigIntegerField()}
_HELD = Select(
    lambda user, campaign: (
        Assignment.objects.filter(user=user, campaign=campaign, state=Assignment.State.OPEN)
        .select_related("task")
        .order_by("created_at", "id")
    ),
    **_WHO_AND_WHERE,
)
_FOR_WHOM: Any = {**_WHO_AND_WHERE, "barred": BigIntegerField(), "full": CharField()}
_FIRST_FREE = Select(partial(_first_open_task, skip_locked=True), **_FOR_WHOM)
_FIRST_OPEN = Select(partial(_first_open_task, skip_locked=False), **_FOR_WHOM)
_LAST_OPEN = Select(partial(_first_open_task, skip_locked=False, states=RETURNED_OR_SET_ASIDE), **_FOR_WHOM)
_FIRST_HELD = Select(partial(_first_open_task, skip_locked=True, held=True), **_FOR_WHOM)
_FIRST_GOLD = Select(
    partial(rotation.first_gold, states=RETURNED, before=what_went_before),
    **_WHO_AND_WHERE,
    barred=BigIntegerField(),
    order=BigIntegerField(),
)
_LOCKED = Select(
    lambda pk: (
        Task.objects.select_for_update(no_key=True)
        .only("id", "campaign_id", "batch", "state", "wanted", "done", "seats")
        .filter(pk=pk)
    ),
    pk=BigIntegerField(),
)
_TAKE_SEAT = Update(lambda pk: (Task.objects.filter(pk=pk), {"seats": F("seats") - 1}), pk=BigIntegerField())
# A seat that is free because somebody gave theirs back, or one more than there were.
ONE_SEAT_MORE: dict[str, Any] = {
    "wanted": Case(When(seats__lt=1, then=F("wanted") + 1), default=F("wanted"), output_field=IntegerField()),
    "seats": Greatest(F("seats") - 1, Value(0), output_field=IntegerField()),
}
_TAKE_ANY_SEAT = Update(lambda pk: (Task.objects.filter(pk=pk), ONE_SEAT_MORE), pk=BigIntegerField())
_OF_RESERVE = Update(
    lambda pk: (
        Campaign.objects.filter(pk=pk, reserve_given__lt=F("reserve")),
        {"reserve_given": F("reserve_given") + 1},
    ),
    pk=BigIntegerField(),
)
_INSERT = Insert(Assignment)
_HOLD = Update(
    lambda user, campaign, key, until: (
        Assignment.objects.filter(
            Exists(Assignment.objects.filter(key=key, user=user, state=Assignment.State.OPEN)),
            user=user,
            campaign=campaign,
            state=Assignment.State.OPEN,
        ),
        {"expires_at": until},
    ),
    **_WHO_AND_WHERE,
    key=CharField(),
    until=DateTimeField(),
)


def next_task(*, user: User, campaign: Campaign, ahead: bool = False) -> Assignment | None:
    """Return what this person judges now: the oldest item they hold, else a free one; None when there is none.

    With `ahead`, the item behind that one, so that a page can have it ready. `assignment.task` is loaded. A campaign
    that is paused or being set up hands out nothing new, a closed one nothing at all; ask `campaign.state` why. Nor
    does one of which this person had enough for now, see `annotation.limits`, or whose lead holds them back. Raises
    `NotAgreed` for who was not told yet what they may have to read, and `NotQualified` for who has a test to pass or
    was paused by attention checks.

    SQL: 1 statement for an item already held (2 when its lease is renewed), 4 for a new one, inside one transaction;
    2 more where the campaign mixes in items whose answer is known.
    """
    if campaign.state == Campaign.State.CLOSED:
        return None
    if not campaign.agreed:
        expected = str(campaign.get_wellbeing_display())
        told = _("In this campaign {expected}. Read what it is about and agree to it before you take an item.")
        raise NotAgreed(told.format(expected=expected[:1].lower() + expected[1:]))
    if campaign.paused_at:
        raise NotQualified(
            _(
                "Your work here is paused, because attention checks among your last items had other answers. A lead "
                "looks at it and lets you go on; what you judged is kept."
            )
        )
    if not campaign.qualified:
        raise NotQualified(_("Pass the test of this campaign first; it begins with practice."))
    if campaign.held_back:
        return None
    place = 1 if ahead else 0
    for _again in range(5):
        held = _HELD.all(user=user.pk, campaign=campaign.pk)
        try:
            if len(held) > place:
                assignment = held[place]
                _renew(assignment, campaign)
            elif limits.is_enough(user, campaign, held=len(held)):
                return None
            else:
                full = limits.in_one_text(limits.full_batches(user, campaign))
                barred = campaign.barred
                if limits.rest_until(user, campaign, held=held):
                    barred |= limits.heavy(campaign)
                who: dict[str, Any] = {"user": user.pk, "campaign": campaign.pk, "barred": barred}
                for_whom = {**who, "full": full}
                free = min({0, 1} - {one.slot for one in held})
                claimed = None
                if rotation.is_due(user, campaign, held=held):
                    who["order"] = rotation.order_of(user, campaign)
                    claimed = _claim(user=user, campaign=campaign, slot=free, look=_FIRST_GOLD, for_whom=who, held=held)
                if claimed is None:
                    claimed = _claim(
                        user=user, campaign=campaign, slot=free, look=_FIRST_FREE, for_whom=for_whom, held=held
                    )
                if claimed is None and not ahead:
                    # Whatever is left may only be locked, and a lock does not mean that the last seat goes: look once
                    # more and wait. And it is time for what this person set aside. The price is a fifth statement,
                    # paid at the very end of a campaign only.
                    claimed = _claim(
                        user=user, campaign=campaign, slot=free, look=_LAST_OPEN, for_whom=for_whom, held=held
                    )
                elif claimed is None and connection.features.has_select_for_update_skip_locked:
                    claimed = _claim(
                        user=user, campaign=campaign, slot=free, look=_FIRST_OPEN, for_whom=for_whom, held=held
                    )
                if claimed is None and not ahead and campaign.reserve_given < campaign.reserve:
                    claimed = _claim(
                        user=user, campaign=campaign, slot=free, look=_FIRST_HELD, for_whom=for_whom, held=held
                    )
                if claimed is None:
                    return None
                assignment = claimed
        except (_Overtaken, IntegrityError):
            # Another tab or a double click of the same person was faster, or the sweeper took the lease: what this
            # person holds has changed, and the next look finds it.
            continue
        assignment.campaign, assignment.user = campaign, user
        return assignment
    return None


def extend(*, assignment: Assignment) -> Assignment:
    """Give the lease its full time again; raises `LeaseLost` when it has gone back."""
    try:
        _renew(assignment, assignment.campaign, always=True)
    except _Overtaken:
        raise LeaseLost(_lost()) from None
    return assignment


def hold(*, user: User, campaign: Campaign, key: str) -> None:
    """Give this person's leases in the campaign their full time again: of item `key`, and of the one fetched ahead.

    Raises `LeaseLost` when item `key` has gone back. One statement, which locks no task: the state of an assignment
    does not change by it.
    """
    until = timezone.now() + timedelta(seconds=campaign.lease_seconds)
    if "\x00" in key or not _HOLD(user=user.pk, campaign=campaign.pk, key=key, until=until):
        raise LeaseLost(_lost())


def _lost() -> str:
    return _(
        "The time for this item ran out and it went back to the queue. Your answer is kept; submit it, and it "
        "counts if the item still needs one."
    )


def release(*, assignment: Assignment) -> None:
    """Hand the item back unjudged, so that somebody else can have it at once. Releasing twice changes nothing."""
    with transaction.atomic():
        task = lock_task(assignment.task_id)
        _give_back([assignment.pk], [task.pk], Assignment.State.RELEASED, timezone.now())


def expire_leases() -> int:
    """Take back every lease that ran out and return how many; safe to run at any time, any number of times at once."""
    total = 0
    while True:
        now = timezone.now()
        late = Assignment.objects.filter(state=Assignment.State.OPEN, expires_at__lte=now)
        tasks = set(late.order_by("expires_at").values_list("task_id", flat=True)[:SWEEP])
        if not tasks:
            return total
        with transaction.atomic():
            # Never waits: a task that is busy right now is left for the next minute.
            locked = list(
                Task.objects.select_for_update(skip_locked=True, no_key=True)
                .filter(pk__in=tasks)
                .order_by("pk")
                .values_list("pk", flat=True)
            )
            # Locked as well, because `_renew` moves `expires_at` without the task's lock.
            ran_out = list(late.select_for_update().filter(task__in=locked).order_by("pk").values_list("pk", flat=True))
            given_back = _give_back(ran_out, locked, Assignment.State.EXPIRED, now)
        if not given_back:
            return total
        total += given_back


def withdraw(*, tasks: Sequence[int]) -> int:
    """Take these tasks out of the queue and return how many were open. Judgements they have are kept.

    Items on somebody's screen are released; what that person then still submits is kept too.
    """
    with transaction.atomic():
        open_tasks = list(
            Task.objects.select_for_update(no_key=True)
            .filter(pk__in=tasks, state=Task.State.OPEN)
            .order_by(*QUEUE_ORDER)
            .values_list("pk", flat=True)
        )
        Task.objects.filter(pk__in=open_tasks).update(state=Task.State.WITHDRAWN)
        held = list(
            Assignment.objects.filter(task__in=open_tasks, state=Assignment.State.OPEN).values_list("pk", flat=True)
        )
        _give_back(held, open_tasks, Assignment.State.RELEASED, timezone.now())
        blocks.mark_all(open_tasks)
    return len(open_tasks)


def lock_task(task_id: int) -> Task:
    """Return the task, locked until the transaction ends, without its content.

    NO KEY, because inserting a row that refers to the task must not wait for it.
    """
    task, _rest = lock_task_and(task_id)
    return task


def lock_task_and(task_id: int, *reads: Call[Any]) -> tuple[Task, list[Any]]:
    """Return what `lock_task` does, and what `reads`, sent with it, find once the lock is held."""
    found, *rest = together(_LOCKED.asked(pk=task_id), *reads)
    if not found:
        raise Task.DoesNotExist(f"There is no task {task_id}.")
    return found[0], rest


def shown_order(*, task: Task, user: User) -> list[int]:
    """Return in which order this person sees the answers outside the queue: the same whenever it is asked."""
    return placement.first_order(task.content, seed=f"{task.pk}/{user.pk}")


def _claim(
    *,
    user: User,
    campaign: Campaign,
    slot: int,
    look: Select[Task],
    for_whom: dict[str, Any],
    held: Sequence[Assignment],
) -> Assignment | None:
    """Return a new lease on the first open task that `look` finds, locked; None when it finds none.

    The state of the campaign is read with it, so that a pause takes effect at once.

    PostgreSQL keeps the lock of a row that turns out, once locked, to be taken already. So each look has a transaction
    of its own: one that waited while it held what an earlier look had left behind could wait for itself, in a circle.
    Within one look the locks are in the order of the queue, which all who wait for more than one keep to.
    """
    with transaction.atomic():
        # Counted first: who changes the campaign's settings holds its row while they wait for those of tasks.
        of_reserve = look is _FIRST_HELD
        if of_reserve and not _OF_RESERVE(pk=campaign.pk):
            return None
        (found,) = together(look.asked(**for_whom))  # the BEGIN goes with it
        if not found:
            if of_reserve:
                transaction.set_rollback(True)
            return None
        task = found[0]
        is_gold = look is _FIRST_GOLD
        returned = vars(task)  # where annotations of a query end up
        leaning = held[-1].leaning if held else returned["leaning_before"] or 0
        if returned["returned_id"] is None:
            order = placement.order_for(
                task.content,
                before=returned["order_before"],
                people=task.wanted - task.seats,
                leaning=leaning,
                seed=f"{task.pk}/{user.pk}",
            )
        else:
            order = returned["returned_order"]
        if is_gold or of_reserve:
            seat = [_TAKE_ANY_SEAT.asked(pk=task.pk), blocks.marking(task)]
        else:
            seat = [_TAKE_SEAT.asked(pk=task.pk)]
            task.seats -= 1
        leaning = placement.leaning_after(task.content, order, leaning)
        lease = {**new_lease(campaign, slot), "is_gold": is_gold, "leaning": leaning}
        if returned["returned_id"] is None:
            assignment = Assignment(task=task, campaign=campaign, user=user, shown_order=order, **lease)
            together(*seat, _INSERT.asked(assignment))
            return assignment
        together(*seat)
        # The person had it before and it went back unjudged: the same assignment opens again, draft and all.
        assignment = Assignment(
            pk=returned["returned_id"],
            task=task,
            campaign=campaign,
            user=user,
            key=returned["returned_key"],
            shown_order=order,
            draft=returned["returned_draft"],
            **lease,
        )
        assignment._state.adding = False
        if not Assignment.objects.filter(pk=assignment.pk, state__in=RETURNED_OR_SET_ASIDE).update(**lease):
            raise _Overtaken  # a late submit took it between the look and the lock; the seat goes back with it
        return assignment


def new_lease(campaign: Campaign, slot: int) -> dict[str, Any]:
    """Return the fields of an assignment whose lease begins now."""
    now = timezone.now()
    return {
        "state": Assignment.State.OPEN,
        "slot": slot,
        "created_at": now,
        "expires_at": now + timedelta(seconds=campaign.lease_seconds),
        "closed_at": None,
    }


def _renew(assignment: Assignment, campaign: Campaign, *, always: bool = False) -> None:
    """Give an open lease its full time again when more than half of it is gone.

    One that ran out is renewed too as long as nobody took it back: its seat is still this person's.
    """
    now = timezone.now()
    if not always and assignment.expires_at - now > timedelta(seconds=campaign.lease_seconds / 2):
        return
    assignment.expires_at = now + timedelta(seconds=campaign.lease_seconds)
    renewed = Assignment.objects.filter(pk=assignment.pk, state=Assignment.State.OPEN).update(
        expires_at=assignment.expires_at
    )
    if not renewed:
        raise _Overtaken


def _give_back(assignments: list[int], tasks: list[int], state: Assignment.State, now: datetime) -> int:
    """Close those of `assignments` that are open and return their seats; `tasks` are theirs, and locked."""
    still_open = Assignment.objects.filter(pk__in=assignments, state=Assignment.State.OPEN)
    freed = Counter(still_open.values_list("task_id", flat=True))
    if not freed:
        return 0
    still_open.update(state=state, closed_at=now)
    for seats in set(freed.values()):
        ids = [task for task, count in freed.items() if count == seats]
        Task.objects.filter(pk__in=ids).update(seats=F("seats") + seats)
    return sum(freed.values())
