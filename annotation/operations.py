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
    """Return the queue of a campaign. Two SQL statements beside the sums."""
    known = known or sums.of(campaign)
    leases = Assignment.objects.filter(campaign=campaign, state=Assignment.State.OPEN)
    held = leases.count()
    waiting = missing = judged = 0
    oldest: float | None = None
    for (_round, _policy, _batch, state), (items, done, wanted, _priority, since) in known.rows("items"):
        judged += done
        if state == Task.State.OPEN:
            waiting, missing = waiting + items, missing + wanted - done
            oldest = since if oldest is None else min(oldest, since)
    # Whoever holds an item holds a seat of it; see `annotation.services.queue`.
    taken = leases.filter(task__state=Task.State.OPEN).count()
    return Queue(waiting, max(0, missing - taken), held, judged, _age(oldest))


def volumes(campaign: Campaign, known: Sums | None = None) -> list[Volume]:
    """Return how much of each round and policy was judged, the newest round first."""
    groups: dict[tuple[int | None, str], list[int]] = {}
    oldest: dict[tuple[int | None, str], float] = {}
    for (round, policy, _batch, state), (items, done, wanted, _priority, since) in (known or sums.of(campaign)).rows(
        "items"
    ):
        if state == Task.State.WITHDRAWN:
            continue
        waiting = items if state == Task.State.OPEN else 0
        row = groups.setdefault((round, policy), [0, 0, 0, 0])
        row[:] = (before + more for before, more in zip(row, (items, waiting, done, wanted), strict=True))
        if waiting:
            oldest[round, policy] = min(since, oldest.get((round, policy), since))
    found = [
        Volume(round, policy, items, waiting, done, wanted, _age(oldest.get((round, policy))))
        for (round, policy), (items, waiting, done, wanted) in groups.items()
    ]
    return sorted(found, key=lambda one: (-(-1 if one.round is None else one.round), one.policy))


def _age(since: float | None) -> float | None:
    return None if since is None else max(0.0, time.time() - since)
