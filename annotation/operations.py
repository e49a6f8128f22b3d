"""How a campaign runs now: what waits and for how long, what is held, and how much each policy was judged."""

from __future__ import annotations

import time
from dataclasses import dataclass

from annotation import sums
from annotation.models import Assignment, Campaign, Task
from annotation.sums import Sums


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


def queue(campaign: Campaign, known: Sums | None = None) -> Queue:
    """Return the queue of a campaign. One SQL statement beside the sums."""
    known = known or sums.of(campaign)
    held = Assignment.objects.filter(campaign=campaign, state=Assignment.State.OPEN).count()
    waiting = missing = judged = 0
    oldest: float | None = None
    for (_round, _policy, _batch, state), (items, done, wanted, _priority, since) in known.rows("items"):
        judged += done
        if state == Task.State.OPEN:
            waiting, missing = waiting + items, missing + wanted - done
            oldest = since if oldest is None else min(oldest, since)
    # Whoever holds an item holds a seat of it; see `annotation.services.queue`.
    return Queue(waiting, max(0, missing - held), held, judged, _age(oldest))


def queues() -> dict[int, Queue]:
    """Return the queue of each campaign there is, by its id."""
    return {campaign.pk: queue(campaign) for campaign in Campaign.objects.order_by("pk")}


def volumes(campaign: Campaign, known: Sums | None = None) -> list[Volume]:
    """Return how much of each round and policy was judged, the newest round first."""
    groups: dict[tuple[int | None, str], list[float | None]] = {}
    for (round, policy, _batch, state), (items, done, wanted, _priority, since) in (known or sums.of(campaign)).rows(
        "items"
    ):
        if state == Task.State.WITHDRAWN:
            continue
        is_open = state == Task.State.OPEN
        row = groups.setdefault((round, policy), [0, 0, 0, 0, None])
        for place, value in enumerate((items, items if is_open else 0, done, wanted)):
            row[place] += value
        if is_open:
            row[4] = since if row[4] is None else min(row[4], since)
    found = [
        Volume(round, policy, items, waiting, judged, asked, _age(oldest))
        for (round, policy), (items, waiting, judged, asked, oldest) in groups.items()
    ]
    return sorted(found, key=lambda one: (-(-1 if one.round is None else one.round), one.policy))


def _age(since: float | None) -> float | None:
    return None if since is None else max(0.0, time.time() - since)
