"""Processes whose worker is gone: whether they live, and how to end them. For processes of this machine only."""

from __future__ import annotations

import contextlib
import os
import time

import psutil

# A pid may be reused; a start time is the same within the clock's grain.
SAME_START_SECONDS = 1.5


def lives(pid: int, started: float) -> bool:
    """Return whether the process `pid` that started at `started` (whole seconds will do) is still there."""
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started) <= SAME_START_SECONDS
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stop_orphan(pid: int, started: float, *, seconds: float = 10.0) -> bool:
    """Kill the process group of a child whose worker is gone; return whether all of it has ended.

    Only for a child of this machine. `started` guards against a pid that somebody else has got since.
    """
    deadline = time.monotonic() + seconds
    while left := _members(pid, started):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _members(pid: int, started: float) -> list[psutil.Process]:
    """Return the living processes of the session that the child `pid` leads or led."""
    try:
        leader = psutil.Process(pid)
        if abs(leader.create_time() - started) > SAME_START_SECONDS:
            return []
    except psutil.NoSuchProcess:
        pass  # the leader has ended; those it started may live on
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, PermissionError, psutil.Error):
            pass  # it ended in between, or is none of ours
    return found
