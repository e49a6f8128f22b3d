"""How a campaign runs now: what waits and for how long, what is held, and how much each policy was judged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.core.cache import cache
from django.db.models import Count, Min, Q, Sum
from django.utils import timezone

from annotation.models import Assignment, Campaign, Task

# Grouping the items of a large campaign costs tenths of a second; several people may look at its page.
KEPT_SECONDS = 10


@dataclass(frozen=True)
class Queue:
    open_items: int  # that still want judgements
    free_seats: int  # judgements that could be begun now
    leases: int  # items that somebody holds
    judgements: int
    oldest_seconds: float | None  # since the oldest open item came in


@dataclass(frozen=True)
class Volume:
    """Items of one round and policy, as their origin (`Task.meta`) says; both empty for what was imported."""

    round: int | None
    policy: str
    items: int
    open_items: int
    judgements: int
    wanted: int
    oldest_seconds: float | None


def queues(campaign: Campaign | None = None) -> dict[int, Queue]:
    """Return the queue of one campaign, or of each there is, by its id. Two SQL statements."""
    mine = {} if campaign is None else {"campaign": campaign}
    waits = Q(state=Task.State.OPEN)
    leases = dict(
        Assignment.objects.filter(state=Assignment.State.OPEN, **mine)
        .values_list("campaign_id")
        .annotate(n=Count("id"))
        .order_by()
    )
    tasks = Task.objects.filter(**mine).values_list("campaign_id").order_by()
    rows = tasks.annotate(
        waiting=Count("id", filter=waits),
        seats=Sum("seats", filter=waits),
        judged=Sum("done"),
        oldest=Min("created_at", filter=waits),
    )
    return {
        number: Queue(waiting, seats or 0, leases.get(number, 0), judged or 0, _age(oldest))
        for number, waiting, seats, judged, oldest in rows
    }


def volumes(campaign: Campaign) -> list[Volume]:
    """Return how much of each round and policy was judged, the newest round first; kept for ten seconds."""
    key = f"volumes:{campaign.pk}"
    found: list[Volume] | None = cache.get(key)
    if found is None:
        waits = Q(state=Task.State.OPEN)
        tasks = Task.objects.filter(campaign=campaign).exclude(state=Task.State.WITHDRAWN)
        rows = (
            tasks.order_by()
            .values_list("meta__round", "meta__policy")
            .annotate(
                items=Count("id"),
                waiting=Count("id", filter=waits),
                judged=Sum("done"),
                asked=Sum("wanted"),
                oldest=Min("created_at", filter=waits),
            )
        )
        found = [
            Volume(
                round if isinstance(round, int) else None,
                str(policy or ""),
                items,
                waiting,
                judged,
                asked,
                _age(oldest),
            )
            for round, policy, items, waiting, judged, asked, oldest in rows
        ]
        found.sort(key=lambda one: (-(-1 if one.round is None else one.round), one.policy))
        cache.set(key, found, KEPT_SECONDS)
    return found


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _age(moment: datetime | None) -> float | None:
    return None if moment is None else max(0.0, (timezone.now() - moment).total_seconds())
