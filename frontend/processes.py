"""Processes that are found again: noted in a file with their start times, and marked in their environment.

No Django here: `frontend.keeper` uses this module after the supervisor is gone.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

# Everything the supervisor starts carries this variable, and so does whatever those processes start.
MARK = "ATTUNE_STACK"


@dataclass(frozen=True)
class Noted:
    """A process by pid and start time; the pid alone may have been given to another program since."""

    name: str
    pid: int
    created: float
    grace_seconds: float

    def find(self) -> psutil.Process | None:
        """Return the process if it still runs."""
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            if process.create_time() == self.created and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None


def read_notes(path: Path) -> list[Noted]:
    """Return what was noted in start order; nothing when the file is missing or was cut off by a full disk."""
    try:
        return [Noted(**note) for note in json.loads(path.read_text())]
    except (OSError, ValueError, TypeError):
        return []


def write_notes(path: Path, notes: Iterable[Noted]) -> None:
    """Replace the file by rename, so that a reader never sees half of it."""
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps([asdict(note) for note in notes]))
    draft.replace(path)


def marked(mark: str) -> list[psutil.Process]:
    """Return the living processes whose environment carries `mark`, or a mark that starts with it."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK, "").startswith(mark) and runs(process):
                found.append(process)
    return found


def runs(process: psutil.Process) -> bool:
    """Return whether the process is still there and not merely waiting to be collected."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _send(process: psutil.Process, number: int) -> None:
    with suppress(psutil.Error):
        process.send_signal(number)


def stop_families(
    roots: Sequence[psutil.Process], *, grace_seconds: float, hurry: Callable[[], bool] = lambda: False
) -> None:
    """Stop processes and everything they started: asked first, killed after `grace_seconds` or when `hurry` says so.

    Only the roots are asked. What they started is their own business: a worker has its training run write a
    checkpoint. What outlives them is asked then.
    """
    family, asked = set(roots), set(roots)
    for root in roots:
        with suppress(psutil.Error):
            family.update(root.children(recursive=True))
        _send(root, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while True:
        for member in list(family):
            with suppress(psutil.Error):
                family.update(member.children(recursive=True))
        family = {member for member in family if runs(member)}
        if not family:
            return
        if not family & set(roots):
            for orphan in family - asked:
                _send(orphan, signal.SIGTERM)
            asked |= family
        if time.monotonic() > deadline or hurry():
            break
        time.sleep(0.1)
    kill(family)


def kill(processes: Iterable[psutil.Process]) -> None:
    """Kill processes and wait until they are gone."""
    doomed = list(processes)
    for process in doomed:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(doomed, timeout=10)


def stop_all(notes: Sequence[Noted], *, mark: str, hurry: Callable[[], bool] = lambda: False) -> list[str]:
    """Stop the noted processes, the first started last, then whatever else carries `mark`; return the names.

    What is left after that lost its parent, such as a training run whose worker was killed. It is asked first too: it
    writes a checkpoint when it can.
    """
    living = [(note, process) for note in notes if (process := note.find()) is not None]
    # What was started first is what the others use, the broker: it goes last, when nobody speaks to it any more.
    for wave in (living[:0:-1], living[:1]):
        if wave:
            grace = max(note.grace_seconds for note, _ in wave)
            stop_families([process for _, process in wave], grace_seconds=grace, hurry=hurry)
    orphans = marked(mark)
    stop_families(orphans, grace_seconds=10, hurry=hurry)
    return [note.name for note, _ in reversed(living)] + [f"process {orphan.pid}" for orphan in orphans]
