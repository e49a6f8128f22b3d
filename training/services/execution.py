"""One attempt at a run, from claim to end: what a worker does with the id that a message brought."""

from __future__ import annotations

import ctypes
import logging
import multiprocessing.sharedctypes
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from django.db import InterfaceError, OperationalError, connection

from annotation import logs
from annotation.told import Told, of, told
from training import launch, paths, store
from training.errors import FolderBusy, NotKept, RunLost, TrainingError
from training.folder import last_words
from training.models import Run
from training.recipes.spec import EXIT_STOPPED, RunResult
from training.services import keeping, placements, runs

log = logging.getLogger(__name__)

# Set when this worker is asked to stop. Shared memory without a lock: the main thread sets it in a signal handler, and
# whoever follows a run reads it, in a thread of the pool or, where an operator chose such a pool, a process of it.
STOPPING = multiprocessing.sharedctypes.RawValue(ctypes.c_bool, False)


def execute(
    run_id: int, *, command: Sequence[str] | None = None, patience: launch.Patience | None = None
) -> Run | None:
    """Claim a run and bring it to its end; return it, or None when it was not there to be had.

    Safe to call with any id, any number of times, in any number of processes. `command` starts another program than
    `training.core.run` with the spec.
    """
    run = runs.claim(run_id, runs.claim_name())
    if run is None:
        return None
    # The row knows who asked for it, whatever message woke this worker: the first, or one of the beat.
    with logs.about(run=str(run.pk), request=run.request_name):
        log.info("Takes up %s.", run)
        _bring_to_its_end(run, command, patience)
        run.refresh_from_db()
        log.info("Lets go of %s: %s.", run, run.state)
    return run


def _bring_to_its_end(run: Run, command: Sequence[str] | None, patience: launch.Patience | None) -> None:
    try:
        _attempt(run, command, patience)
    except RunLost as lost:
        log.warning("%s", lost)
    except FolderBusy as busy:
        runs.requeue(run, reason=of(busy), counts=False)
    except NotKept as error:
        # It lies here: this worker has only to put it there, and another one goes on from what is there.
        runs.requeue(run, reason=of(error))
    except (TrainingError, OSError) as error:
        # No disk, no permission, a recipe of another version: for a person to read, not for the next attempt.
        log.exception("%s cannot be run.", run)
        runs.fail(run, told("The run could not be started: {error}", error=of(error)))
    except Exception as error:
        runs.fail(
            run, told("The run could not be started because of a fault in the program: {error}", error=repr(error))
        )
        raise


def _attempt(run: Run, command: Sequence[str] | None, patience: launch.Patience | None) -> None:
    folder = paths.run_folder(run.pk)
    beat = partial(runs.beat, run)
    keeping.meanwhile(partial(store.fetch, paths.stored(folder)), beat)
    with keeping.Keeper(run) as keeper:
        result = RunResult.read(folder)
        if result is None:
            placements.look_again(run)
            child = launch.start(keeping.meanwhile(partial(launch.spec_of, run), beat), command=command)
            try:
                runs.record_child(run, pid=child.pid, started=child.started)
            except BaseException:
                launch.stop(child)
                raise
            watch = Watch(run)
            code = launch.follow(child, report=watch.report, patience=patience)
            result = RunResult.read(folder)
        keeper.finish(beat)
        if result is None:
            _account_for(run, code, folder, watch)
        else:
            runs.finish(run, result)


class Watch:
    """Turns what the child reports into heartbeats, and the wishes of people and of the worker into its answer."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.first: dict[str, Any] | None = None
        self.cancelled = False
        self.worker_stops = False

    def report(self, lines: list[dict[str, Any]]) -> bool:
        """Write a heartbeat and return whether the child shall go on; RunLost when the run is held elsewhere."""
        if lines and self.first is None:
            self.first = lines[0]
        progress = {**lines[-1], "eta_seconds": self._seconds_left(lines[-1])} if lines else None
        try:
            self.cancelled = not runs.beat(self.run, progress)
        except (OperationalError, InterfaceError) as error:
            # The database restarts, or is busy. The child need not die of that: should another worker take the run
            # meanwhile, the next beat that gets through says so.
            log.warning("No heartbeat for %s: %s", self.run, error)
            connection.close_if_unusable_or_obsolete()
        self.worker_stops = bool(STOPPING.value)
        return not (self.cancelled or self.worker_stops)

    def _seconds_left(self, last: dict[str, Any]) -> float | None:
        """Return the seconds left at the pace of this attempt, or None before there is a pace."""
        first = self.first or last
        try:
            steps = float(last["step"]) - float(first["step"])
            seconds = float(last["time"]) - float(first["time"])
            left = float(last["total_steps"]) - float(last["step"])
        except (KeyError, TypeError, ValueError):
            return None
        return round(seconds / steps * max(0.0, left), 1) if steps > 0 else None


def _account_for(run: Run, code: int, folder: Path, watch: Watch) -> None:
    """Decide what becomes of a run whose child ended without a result."""
    explained = (folder / "error.json").exists()
    if watch.cancelled:
        runs.record_cancelled(run)
    elif watch.worker_stops:
        runs.requeue(run, reason=told("Its worker was stopped; it goes on from its last checkpoint."), counts=False)
    elif explained:
        runs.fail(run, last_words(folder))
    elif code == EXIT_STOPPED:
        runs.requeue(run, reason=told("The process was told to stop from outside."))
    elif code < 0:
        name = signal.Signals(-code).name
        reason = told("The process was ended by {name}.", name=name)
        if name == "SIGKILL":
            reason += told("The machine may have run out of memory.")
        runs.requeue(run, reason=reason)
    else:
        words = of(last_words(folder)) or told("It left no log.")
        runs.fail(run, told("The process ended with code {code} and no result.", code=code) + Told(("\n",)) + words)
