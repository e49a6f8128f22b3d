"""What a person says about an item: submit, amend, skip, draft. Nothing is acknowledged before it is committed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import BigIntegerField, CharField, DateTimeField, Exists, F, IntegerField, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation.behaviour import plausible
from annotation.errors import AnnotationError, CampaignClosed, Invalid, LeaseLost
from annotation.feedback import kind, of_item
from annotation.models import Assignment, Campaign, Feedback, Returned, Task, User
from annotation.permissions import NOT_TO_SUBMIT
from annotation.prepared import Call, Insert, Select, Update, together
from annotation.services import attention, blocks, returning, second_look, webhooks
from annotation.services.queue import ONE_SEAT_MORE, lock_task, lock_task_and
from annotation.signals import task_completed
from annotation.skips import SKIP_REASONS
from annotation.storable import unstorable

MAX_DRAFT = 200_000
MAX_NOTE = 2_000

# What every judgement costs: the SQL of these is written once.
_HELD = Select(
    lambda pk: Assignment.objects.select_related("campaign").defer(*NOT_TO_SUBMIT).filter(pk=pk), pk=BigIntegerField()
)
_KNOWN = Select(
    lambda user, key, assignment: Feedback.objects.filter(
        Q(user=user, client_key=key) | Q(assignment=assignment, is_current=True)
    ).annotate(was_sent_back=Exists(Returned.objects.filter(feedback=OuterRef("pk"), settled_at=None))),
    user=BigIntegerField(),
    key=CharField(),
    assignment=BigIntegerField(),
)
_COUNT = Update(
    lambda pk, done, seats, state: (Task.objects.filter(pk=pk), {"done": done, "seats": seats, "state": state}),
    pk=BigIntegerField(),
    done=IntegerField(),
    seats=IntegerField(),
    state=CharField(),
)
_CLOSE = Update(
    lambda pk, now: (
        Assignment.objects.filter(pk=pk),
        {"state": Assignment.State.SUBMITTED, "closed_at": now, "draft": None},
    ),
    pk=BigIntegerField(),
    now=DateTimeField(),
)
_INSERT = Insert(Feedback)


def submit(
    *,
    assignment: Assignment,
    data: Mapping[str, Any],
    client_key: str,
    active_seconds: float | None = None,
    behaviour: Any = None,
    flagged: bool = False,
    guideline_version: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> Feedback:
    """Return the judgement, stored; the one stored before when this person sent the same `client_key` before.

    On an item already judged a new key writes a new version that supersedes the old one. After the lease is lost the
    judgement counts if the item still has a free seat; else `LeaseLost`, and `data` is kept as the draft.
    `guideline_version` is the one that was there to be read, where that is not the one in force by now.
    With `flagged` the item is in front of a reviewer, and the judgement counts as any other.
    Of the measures in `behaviour` (see `annotation.behaviour`) those that can be true are stored; none is refused.
    Raises `Invalid` and `CampaignClosed`. SQL: 7 statements, inside one transaction; and one before it where the
    campaign asks about images, to see which the item has. `options` hold for this judgement alone, over the campaign's.
    """
    campaign = assignment.campaign
    if not client_key or len(client_key) > 64 or unstorable(client_key):
        raise Invalid(_("Send a client_key of 1 to 64 characters, a fresh one for each judgement."))
    held = {**of_item.for_task(campaign.options, assignment.task), **(options or {})}
    payload = kind(campaign.kind).parse(data, options=held, shown_order=assignment.shown_order)
    try:
        with transaction.atomic():
            read = guideline_version
            outcome = _store(assignment, payload, data, client_key, active_seconds, behaviour, flagged, read)
    except IntegrityError:
        # Two items with one key at the same moment hold two different locks; only the constraint tells.
        raise _key_used_twice() from None
    if isinstance(outcome, AnnotationError):
        raise outcome  # after the commit, which kept the draft
    return outcome


def skip(*, assignment: Assignment, reason: str, note: str = "") -> Assignment:
    """Hand the item back for good, with the reason; this person is never given it again. Returns the assignment."""
    if reason not in SKIP_REASONS:
        message = _("Give one of these reasons: {reasons}.").format(reasons=", ".join(SKIP_REASONS))
        raise Invalid(message, {"reason": [message]})
    note = note.strip()
    wrong = unstorable(note)
    if not wrong and len(note) > MAX_NOTE:
        wrong = _("At most {most} characters are kept.").format(most=MAX_NOTE)
    if wrong:
        raise Invalid(_("The note cannot be stored; see errors."), {"note": [wrong]})
    with transaction.atomic():
        task = lock_task(assignment.task_id)
        held = Assignment.objects.select_related("campaign").get(pk=assignment.pk)
        refuse_closed(held.campaign)
        if held.state == Assignment.State.SKIPPED:
            return held
        if held.state == Assignment.State.SUBMITTED:
            raise LeaseLost(_("You have judged this item already; undo the judgement instead of skipping."))
        if held.state == Assignment.State.OPEN:
            Task.objects.filter(pk=task.pk).update(seats=F("seats") + 1)
        held.state = Assignment.State.SKIPPED
        held.skip_reason, held.skip_note, held.closed_at = reason, note, timezone.now()
        held.save(update_fields=["state", "skip_reason", "skip_note", "closed_at"])
    return held


def save_draft(*, assignment: Assignment, draft: dict[str, Any]) -> None:
    """Keep what was typed so far. Also after the lease is lost: nothing typed is thrown away."""
    check_draft(draft)
    Assignment.objects.filter(pk=assignment.pk).exclude(state=Assignment.State.SUBMITTED).update(draft=draft)


def last_submitted(*, user: User, campaign: Campaign, limit: int = 50) -> list[Feedback]:
    """Return this person's standing judgements, the newest first, each with its assignment and task."""
    return list(
        Feedback.objects.current()
        .filter(user=user, campaign=campaign)
        .select_related("assignment", "task")
        .order_by("-id")[:limit]
    )


def _store(
    assignment: Assignment,
    payload: dict[str, Any],
    data: Mapping[str, Any],
    key: str,
    active_seconds: float | None,
    behaviour: Any,
    flagged: bool,
    read: int | None,
) -> Feedback | AnnotationError:
    """Return the stored judgement, or the error to raise once the transaction is committed."""
    # The task's lock comes first, as everywhere: it orders this against a second submit, the sweeper and claims.
    task, (found, known) = lock_task_and(
        assignment.task_id,
        _HELD.asked(pk=assignment.pk),
        _KNOWN.asked(user=assignment.user_id, key=key, assignment=assignment.pk),
    )
    if not found:
        raise Assignment.DoesNotExist(f"There is no assignment {assignment.pk}.")
    held: Assignment = found[0]
    same_key = next((one for one in known if one.client_key == key and one.user_id == held.user_id), None)
    if same_key is not None:
        if same_key.assignment_id != held.pk:
            raise _key_used_twice()
        same_key.assignment = held
        return same_key
    now = timezone.now()
    feedback = Feedback(
        campaign=held.campaign,
        task_id=task.pk,
        assignment=held,
        user_id=held.user_id,
        kind=held.campaign.kind,
        payload=payload,
        shown_order=held.shown_order,
        client_key=key,
        guideline_version=_version_read(read, held.campaign),
        seconds=max(0.0, round((now - held.created_at).total_seconds(), 3)),  # a clock may be set back
        active_seconds=_plausible(active_seconds),
        behaviour=plausible(behaviour, shown_order=held.shown_order),
        flagged=flagged,
    )
    try:
        refuse_closed(held.campaign)
        current = next((one for one in known if one.is_current), None)
        if current is not None:
            _amend(current, feedback)
            blocks.mark(task)
        else:
            was_open = task.state == Task.State.OPEN
            seat = _take(task, held)
            together(seat, _INSERT.asked(feedback), _CLOSE.asked(pk=held.pk, now=now), blocks.marking(task))
            held.state, held.closed_at, held.draft = Assignment.State.SUBMITTED, now, None
            if was_open and task.state == Task.State.COMPLETE:
                task_completed.send(sender=Task, task=task)
                webhooks.batch_completed(held.campaign, task.batch)
        second_look.pass_on(feedback)
        attention.look(feedback)
        if held.campaign.listens:
            webhooks.feedback_created(feedback, task)
    except (LeaseLost, CampaignClosed) as lost:
        Assignment.objects.filter(pk=held.pk).update(draft=_draft_of(data))
        return lost
    return feedback


def _amend(current: Feedback, feedback: Feedback) -> None:
    """Write `feedback` as the version after `current`, which is kept."""
    Feedback.objects.filter(pk=current.pk).update(is_current=False)
    if vars(current)["was_sent_back"]:  # asked with the row, so that other amendments cost no more
        returning.settle(current)
    feedback.version, feedback.supersedes = current.version + 1, current
    feedback.payload = kind(feedback.kind).amended(feedback.payload, current.payload)
    # From hand-out to the first judgement: the clock does not run while the item lies in the history.
    feedback.seconds = current.seconds
    feedback.save(force_insert=True)


def _take(task: Task, held: Assignment) -> Call[int]:
    """Return what turns this person's seat into a judgement, as it did on `task` itself.

    Raises `LeaseLost` when they have none and none is free.
    """
    has_seat = held.state == Assignment.State.OPEN
    if not has_seat and task.seats < 1 and held.is_gold:
        # Such an item has a seat for everybody, and whoever comes late must not learn that this is one.
        Task.objects.filter(pk=task.pk).update(**ONE_SEAT_MORE)
        task.wanted, has_seat = task.wanted + 1, True
    if not has_seat and task.seats < 1:
        raise LeaseLost(
            _(
                "The time for this item ran out and somebody else has judged it. What you entered is kept as a draft; "
                "go on with the next item."
            )
        )
    task.done += 1
    task.seats -= 0 if has_seat else 1
    if task.done >= task.wanted and task.state == Task.State.OPEN:
        task.state = Task.State.COMPLETE
    return _COUNT.asked(pk=task.pk, done=task.done, seats=task.seats, state=task.state)


def refuse_closed(campaign: Campaign) -> None:
    """Raise `CampaignClosed` when nothing can be stored here any more."""
    if campaign.state == Campaign.State.CLOSED:
        raise CampaignClosed(_("This campaign is closed and takes no more judgements. What you entered is kept."))


def _version_read(version: int | None, campaign: Campaign) -> int:
    """Return the guideline's version that somebody judged by: none is newer than the one in force."""
    return campaign.guideline_version if version is None else min(max(version, 1), campaign.guideline_version)


def _key_used_twice() -> Invalid:
    message = _("This client_key was used for another item; send a fresh one for each judgement.")
    return Invalid(message, {"client_key": [message]})


def _draft_of(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what was sent in a form that can be stored; None when it is too large or no JSON."""
    draft = {str(name): data[name] for name in data}
    try:
        check_draft(draft)
    except Invalid:
        return None
    return draft


def check_draft(draft: dict[str, Any]) -> None:
    """Raise `Invalid` unless this can be kept as a draft."""
    if not isinstance(draft, dict):
        raise Invalid(_("A draft is an object of field names and values."))
    if reason := unstorable(draft):
        raise Invalid(_("The draft cannot be stored. {reason}").format(reason=reason))
    try:
        size = len(json.dumps(draft, allow_nan=False))
    except (TypeError, ValueError):
        raise Invalid(_("A draft holds text, numbers, lists and objects only.")) from None
    if size > MAX_DRAFT:
        told = _("The draft has {n} characters; at most {most} are kept.")
        raise Invalid(told.format(n=size, most=MAX_DRAFT))


def _plausible(seconds: float | None) -> float | None:
    """Return `seconds`, or None for what no clock can have measured: a broken clock must not cost a judgement."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return None
    return seconds
