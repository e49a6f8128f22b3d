"""How often something happened lately, counted for all web processes together.

The counts live in the broker's Valkey or Redis, beside the messages, so that no statement of SQL is spent on them. When
it cannot be reached each process counts for itself: a limit is then as many times higher as there are processes, which
is better than refusing everybody.
"""

from __future__ import annotations

import time
from typing import Any

from django.core.cache import caches

# So long a cache that could not be reached is not tried again: each try may cost its whole timeout.
PAUSE_SECONDS = 10.0


class _Reachable:
    """Whether the shared cache answered when it was last asked."""

    away_until = 0.0


def more(key: str, *, window: int, now: float | None = None) -> int:
    """Count one more under `key` and return how many there are in the present window of so many seconds."""
    return int(_ask(lambda cache, name: _increment(cache, name, window), key, window, now))


def so_far(key: str, *, window: int, now: float | None = None) -> int:
    """Return how many were counted under `key` in the present window."""
    return int(_ask(lambda cache, name: cache.get(name, 0), key, window, now))


def forget(key: str, *, window: int, now: float | None = None) -> None:
    """Count `key` from nothing again."""
    _ask(lambda cache, name: cache.delete(name), key, window, now)


def seconds_left(window: int, now: float | None = None) -> float:
    """Return after how many seconds the next window of this length begins."""
    return window - (time.time() if now is None else now) % window


def _increment(cache: Any, name: str, window: int) -> int:
    try:
        return cache.incr(name)
    except ValueError:
        # The first one; who comes second at the same moment adds nothing and counts.
        return 1 if cache.add(name, 1, timeout=window) else cache.incr(name)


def _ask(question: Any, key: str, window: int, now: float | None) -> Any:
    moment = time.time() if now is None else now
    name = f"count:{key}:{window}:{int(moment // window)}"
    if time.monotonic() >= _Reachable.away_until:
        try:
            return question(caches["shared"], name)
        except OSError:
            _Reachable.away_until = time.monotonic() + PAUSE_SECONDS
        except Exception as error:
            # The errors of the client are no OSErrors, and the client is only loaded where it is used.
            if not type(error).__module__.startswith("redis"):
                raise
            _Reachable.away_until = time.monotonic() + PAUSE_SECONDS
    return question(caches["default"], name)
