"""The batches of a campaign, such as its rounds: how far each is, and which comes first."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.db.models import Count, Max, Q, Sum
from django.utils.translation import gettext as _

from annotation.errors import Invalid
from annotation.importing.items import MAX_PRIORITY
from annotation.models import Campaign, Task, User
from annotation.services import events
from annotation.services.queue import QUEUE_ORDER
from annotation.storable import unstorable


@dataclass(frozen=True)
class Batch:
    name: str
    items: int  # without the withdrawn ones
    complete: int
    wanted: int  # judgements
    done: int
    priority: int  # of the first item that is open, or that was


def batches(campaign: Campaign) -> list[Batch]:
    """Return the named batches, those whose items come first before the others. One SQL statement."""
    tasks = Task.objects.filter(campaign=campaign).exclude(batch="").exclude(state=Task.State.WITHDRAWN).order_by()
    rows = tasks.values("batch").annotate(
        items=Count("id"),
        complete=Count("id", filter=Q(state=Task.State.COMPLETE)),
        judged=Sum("done"),
        total=Sum("wanted"),
        first=Max("priority"),
    )
    found = [
        Batch(row["batch"], row["items"], row["complete"], row["total"], row["judged"], row["first"]) for row in rows
    ]
    return sorted(found, key=lambda one: (-one.priority, one.name))


@transaction.atomic
def prioritise(*, campaign: Campaign, batch: str, priority: int, actor: User) -> int:
    """Give the open items of a batch this priority, higher first, and return how many there are; raises `Invalid`."""
    if abs(priority) > MAX_PRIORITY:
        message = _("Give a priority from -{most} to {most}.").format(most=MAX_PRIORITY)
        raise Invalid(message, {"priority": [message]})
    tasks = Task.objects.filter(campaign=campaign, batch=batch)
    if not batch or unstorable(batch) or not tasks.exists():
        message = _("This campaign has no batch {name}.").format(name=repr(batch))
        raise Invalid(message, {"batch": [message]})
    # Locked in the order in which all do who wait for more than one.
    waiting = tasks.filter(state=Task.State.OPEN).select_for_update(no_key=True).order_by(*QUEUE_ORDER)
    before = sorted(set(waiting.values_list("priority", flat=True)))
    changed = Task.objects.filter(pk__in=list(waiting.values_list("pk", flat=True))).update(priority=priority)
    events.record(
        campaign=campaign,
        actor=actor,
        action="batch.prioritised",
        target=batch,
        detail={"items": changed},
        changes={"priority": (before[0] if len(before) == 1 else before, priority)},
    )
    return changed
