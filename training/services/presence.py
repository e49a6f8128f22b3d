"""Whether workers are there: each one notes its queues now and then, and a page says which have nobody.

Asking the workers themselves takes seconds; a row that one of them wrote lately costs a look-up, and none while it is
still fresh in this process.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.cache import cache
from django.db import DatabaseError, connections
from django.utils import timezone

from training.models import Presence

NOTED_EVERY = 20.0  # seconds
GONE = timedelta(seconds=75)  # three notes missed, and some
LOOKED_AT = "training.presence"
LOOKED_AT_SECONDS = 15
# Without these nothing gets done. Who serves no chats need not have a worker for them; one that had one is missed.
NEEDED = ("default", "gpu")

log = logging.getLogger(__name__)
_noted = -NOTED_EVERY


@dataclass(frozen=True)
class Away:
    queue: str
    since: datetime | None  # None: none was ever there


def note(*, node: str, queues: Iterable[str]) -> None:
    """Write that a worker serves these queues now."""
    seen = timezone.now()
    for queue in queues:
        Presence.objects.update_or_create(queue=queue[:60], defaults={"node": node[:200], "seen_at": seen})
    cache.delete(LOOKED_AT)  # of this process; others see it within `LOOKED_AT_SECONDS`


def note_now_and_then(*, node: str, queues: Iterable[str]) -> None:
    """Write it when the last time was a while ago; called with every beat of a worker's own heart.

    A database that does not answer must not stop the worker. Its connection is closed, because the worker's children
    are forked from this process and would share it.
    """
    global _noted
    if time.monotonic() - _noted < NOTED_EVERY:
        return
    _noted = time.monotonic()
    try:
        note(node=node, queues=queues)
    except DatabaseError as error:
        log.warning("Cannot note that this worker is there: %s", error)
    finally:
        connections.close_all()


def away() -> list[Away]:
    """Return the queues that nobody serves now. One statement, or none where it was asked seconds ago."""
    seen: dict[str, datetime] | None = cache.get(LOOKED_AT)
    if seen is None:
        seen = dict(Presence.objects.values_list("queue", "seen_at"))
        cache.set(LOOKED_AT, seen, LOOKED_AT_SECONDS)
    late = timezone.now() - GONE
    missed = [*NEEDED, *(queue for queue in sorted(seen) if queue not in NEEDED)]
    return [Away(queue, seen.get(queue)) for queue in missed if queue not in seen or seen[queue] < late]
