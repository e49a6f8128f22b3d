"""Telling other servers: who is told, putting messages on their way, and trying again."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import orjson
from celery import current_app
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError

from annotation.errors import Invalid, TooMany
from annotation.models import Campaign, Delivery, Feedback, Task, User, Webhook
from annotation.services import events
from annotation.webhooks import EVENTS, Line, check_url, secret_of, signature

log = logging.getLogger(__name__)

TASK = "annotation.tasks.deliver"
MOST = 20  # receivers of one campaign
# Seconds until the next try: about two days in all, as Standard Webhooks recommends.
BACKOFF = (5, 30, 120, 600, 3600, 4 * 3600, 12 * 3600, 24 * 3600)
# A try that nobody finished, because its worker died, is taken up again after this.
LOST = datetime.timedelta(minutes=2)
KEPT = datetime.timedelta(days=30)
AT_ONCE = 1000
TOGETHER = 100  # messages of one turn
LINES = 4  # connections to one receiver at the same time
THREADS = 16
# After this a turn begins no more tries: with the last one's own time limits it ends well before `LOST`.
LANE_SECONDS = 60.0
# Of the audit trail: what begins with this is told as that.
_TOLD = {
    "round.": "round.state",
    "policy.promoted": "version.promoted",
    "policy.rolled_back": "version.promoted",
    "reward.promoted": "version.promoted",
    "reward.rolled_back": "version.promoted",
    "snapshot.frozen": "snapshot.created",
}


@transaction.atomic
def add(*, campaign: Campaign, url: str, wanted: Sequence[str], actor: User) -> tuple[Webhook, str]:
    """Return a new receiver and its secret, which is never told again; raises `Invalid` and `TooMany`."""
    url = url.strip()
    check_url(url)
    unknown = sorted(set(wanted) - set(EVENTS))
    if unknown or not wanted:
        message = _("Choose at least one of: {events}.").format(events=", ".join(EVENTS))
        raise Invalid(message, {"events": [message]})
    locked = Campaign.objects.select_for_update().get(pk=campaign.pk)
    if locked.webhooks.count() >= MOST:
        raise TooMany(_("A campaign tells at most {most} receivers.").format(most=MOST))
    made = Webhook.objects.create(campaign=locked, url=url, events=sorted(set(wanted)), created_by=actor)
    _note(locked)
    campaign.listens = True
    events.record(campaign=locked, actor=actor, action="webhook.added", target=url[:80], detail={"events": made.events})
    return made, secret_of(made.salt)


@transaction.atomic
def remove(*, webhook: Webhook, actor: User) -> None:
    """Take a receiver out, with its log; what waits for it is not sent."""
    campaign = webhook.campaign
    events.record(campaign=campaign, actor=actor, action="webhook.removed", target=webhook.url[:80])
    webhook.delete()
    _note(campaign)


def _note(campaign: Campaign) -> None:
    """Keep on the campaign whether anybody listens: to judge an item must not cost a look for who does."""
    listens = Webhook.objects.filter(campaign=campaign, is_active=True).exists()
    Campaign.objects.filter(pk=campaign.pk).update(listens=listens)


def emit(campaign: Campaign, event: str, data: Mapping[str, Any]) -> int:
    """Put a message on its way to each receiver that wants this event; return how many. Call it in the transaction."""
    if not campaign.listens:
        return 0
    receivers = [one for one in Webhook.objects.filter(campaign=campaign, is_active=True) if event in one.events]
    for receiver in receivers:
        _enqueue(receiver, event, data)
    return len(receivers)


def _enqueue(receiver: Webhook, event: str, data: Mapping[str, Any]) -> Delivery:
    body = orjson.dumps({"type": event, "timestamp": timezone.now().isoformat(), "data": dict(data)}).decode()
    made = Delivery.objects.create(webhook=receiver, event=event, body=body)
    transaction.on_commit(lambda: _wake(made.pk))
    return made


def _wake(delivery_id: int) -> None:
    try:
        current_app.send_task(TASK, [delivery_id], queue="default")
    except OperationalError as error:
        # The row is stored; the beat finds it.
        log.warning("The broker cannot be reached (%s); message %s waits for the beat.", error, delivery_id)


def recorded(campaign: Campaign, *, action: str, target: str, detail: Mapping[str, Any]) -> None:
    """Tell of an entry of the audit trail, if it is one that is told of."""
    event = next((told for begins, told in _TOLD.items() if action.startswith(begins)), None)
    if event is not None:
        emit(campaign, event, {"campaign": campaign.pk, "action": action, "target": target, **detail})


def feedback_created(feedback: Feedback, task: Task) -> None:
    """Tell of a judgement: which one, about what, by whom; what was said is fetched with a token."""
    data = {
        "campaign": feedback.campaign_id,
        "feedback": feedback.pk,
        "version": feedback.version,
        "task": task.external_id,
        "batch": task.batch,
        "annotator": User.objects.values_list("pseudonym", flat=True).get(pk=feedback.user_id),
        "kind": feedback.kind,
    }
    emit(feedback.campaign, "feedback.created", data)


def batch_completed(campaign: Campaign, batch: str) -> None:
    """Tell that a batch is complete, if no item of it is open. Call it when one of its items has been completed."""
    if campaign.listens and batch and not Task.objects.filter(campaign=campaign, batch=batch, state="open").exists():
        emit(campaign, "batch.completed", {"campaign": campaign.pk, "batch": batch})


def deliver(delivery_id: int) -> int:
    """Try this message now, and others that are due; return how many. Safe to run twice, and at once.

    Up to `TOGETHER` messages are claimed in one statement and their outcomes stored in one: a commit for each of both
    is what a message cost most. Each receiver is sent its own over up to `LINES` kept connections, and all receivers
    at the same time, so that a slow one holds up nobody else's. The threads only send; the database is asked here.
    """
    claimed = _claim(delivery_id)
    by_receiver: dict[int, list[Delivery]] = {}
    for one in claimed:
        by_receiver.setdefault(one.webhook_id, []).append(one)
    lanes = [of_one[start::LINES] for of_one in by_receiver.values() for start in range(min(LINES, len(of_one)))]
    if len(lanes) == 1:
        _send(lanes[0])
    elif lanes:
        with ThreadPoolExecutor(min(THREADS, len(lanes))) as pool:
            list(pool.map(_send, lanes))
    _store(claimed)
    gone = [one.webhook for one in claimed if one.status_code == 410 and one.state == Delivery.State.FAILED]
    if gone:  # these receivers want nothing more
        Webhook.objects.filter(pk__in={one.pk for one in gone}).update(is_active=False)
        for campaign in {one.campaign_id: one.campaign for one in gone}.values():
            _note(campaign)
    return len(claimed)


def _store(tried: list[Delivery]) -> None:
    """Store what became of each: of those that arrived, which are most, all alike in one short statement."""
    arrived: dict[tuple[int, int | None], list[Delivery]] = {}
    others = []
    for one in tried:
        if one.state == Delivery.State.DELIVERED:
            arrived.setdefault((one.attempts, one.status_code), []).append(one)
        else:
            others.append(one)
    with transaction.atomic():
        for (attempts, status), alike in arrived.items():
            Delivery.objects.filter(pk__in=[one.pk for one in alike]).update(
                state=Delivery.State.DELIVERED,
                attempts=attempts,
                status_code=status,
                error="",
                done_at=max(one.done_at for one in alike if one.done_at),
            )
        Delivery.objects.bulk_update(others, ["attempts", "status_code", "error", "state", "next_at", "done_at"])


def _claim(delivery_id: int) -> list[Delivery]:
    """Return this message, if it is due, and others that are, and keep everybody else from trying them for a while."""
    now = timezone.now()
    due = Delivery.objects.filter(state=Delivery.State.WAITING, next_at__lte=now)
    if not due.filter(pk=delivery_id).exists():
        return []  # it went along with another one, as most do when there are many: one statement, no transaction
    with transaction.atomic():
        first = list(due.filter(pk=delivery_id).select_for_update(skip_locked=True).values_list("pk", flat=True))
        others = due.filter(webhook__is_active=True).exclude(pk=delivery_id).order_by("next_at", "pk")
        locked = others.select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True)
        claimed = [*first, *locked[: TOGETHER - len(first)]]
        Delivery.objects.filter(pk__in=claimed).update(next_at=now + LOST)
    return list(Delivery.objects.filter(pk__in=claimed).select_related("webhook__campaign").order_by("pk"))


def _send(lane: list[Delivery]) -> None:
    """Send messages to one receiver, one after the other, and note on each what became of it; stores nothing.

    Once the receiver cannot be reached, or time is up, the rest of the lane waits for a later turn without a try: each
    could take its whole time limit, and another worker would take up what this one still has in hand.
    """
    ends = time.monotonic() + LANE_SECONDS
    with closing(Line(lane[0].webhook.url)) as line:
        for place, delivery in enumerate(lane):
            if time.monotonic() > ends:
                for left in lane[place:]:
                    left.next_at = timezone.now()
                return
            _try(delivery, line)
            if delivery.status_code is None:
                for left in lane[place + 1 :]:
                    left.next_at = delivery.next_at
                return


def _try(delivery: Delivery, line: Line) -> None:
    timestamp = int(timezone.now().timestamp())
    secret = secret_of(delivery.webhook.salt)
    signed = signature(secret, message_id=delivery.message_id, timestamp=timestamp, body=delivery.body)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Attune-Webhooks/1",
        "webhook-id": delivery.message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signed,
    }
    answer = line.post(body=delivery.body, headers=headers)
    delivery.attempts += 1
    delivery.status_code, delivery.error = answer.status, answer.error
    delivery.done_at = timezone.now()
    if answer.is_good:
        delivery.state = Delivery.State.DELIVERED
    elif answer.status == 410 or delivery.attempts > len(BACKOFF):
        delivery.state = Delivery.State.FAILED
    else:
        delivery.done_at = None
        delivery.next_at = timezone.now() + datetime.timedelta(seconds=BACKOFF[delivery.attempts - 1])


def deliver_due() -> int:
    """Try what is due and return how many that were: new tries, and what a lost message never woke anybody for."""
    due = Delivery.objects.filter(state=Delivery.State.WAITING, next_at__lte=timezone.now(), webhook__is_active=True)
    found = list(due.order_by("next_at").values_list("pk", flat=True)[:AT_ONCE])
    for delivery_id in found[::TOGETHER]:
        _wake(delivery_id)
    return len(found)


def send_again(*, delivery: Delivery) -> None:
    """Try a message once more, now, whatever became of it; its receiver knows it by its id."""
    Delivery.objects.filter(pk=delivery.pk).update(state=Delivery.State.WAITING, next_at=timezone.now(), attempts=0)
    transaction.on_commit(lambda: _wake(delivery.pk))


def ping(*, webhook: Webhook, actor: User) -> Delivery:
    """Put a message on its way that says nothing, to see whether it arrives."""
    with transaction.atomic():
        return _enqueue(webhook, "ping", {"campaign": webhook.campaign_id, "by": actor.pseudonym})


def forget_old() -> int:
    """Delete messages older than thirty days, and return how many."""
    return Delivery.objects.filter(created_at__lt=timezone.now() - KEPT).delete()[0]
