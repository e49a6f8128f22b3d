"""A run's folder in the bucket while the run works, so that pages see it and another machine can go on with it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Self, TypeVar

from django.db import Error, connection

from annotation.told import told
from training import paths, store
from training.errors import NotKept
from training.models import Run

log = logging.getLogger(__name__)

EVERY_SECONDS = 10.0
LAST_SECONDS = 300.0  # for so long the last attempt is made again
T = TypeVar("T")


def meanwhile(work: Callable[[], T], beat: Callable[[], object], *, every_seconds: float = 1.0) -> T:
    """Return what `work` returns or raise what it raises; with a bucket that may take long, and `beat` is called then.

    Raises what `beat` does: RunLost when the run is held elsewhere.
    """
    if not store.is_on():
        return work()
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:
            failed.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(every_seconds)
        beat()
    if failed:
        raise failed[0]
    return found[0]


class Keeper:
    """Puts a run's folder into the bucket every few seconds, in a thread: heartbeats must not wait for an upload.

    Does nothing without a bucket. What does not get through is tried again; only the last word counts, of `finish`.
    """

    def __init__(self, run: Run, *, every_seconds: float = EVERY_SECONDS) -> None:
        self.run = run
        self._every = every_seconds
        self._ends = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name=f"keeper-{run.pk}", daemon=True)
        if store.is_on():
            self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()  # one last time, where the run is still held

    def finish(self, beat: Callable[[], object], *, every_seconds: float = 1.0) -> None:
        """Return once all of the folder as it is now is in the bucket; `beat` is called about every second meanwhile.

        Raises NotKept when it cannot be put there, and what `beat` does: RunLost when the run is held elsewhere.
        """
        if not store.is_on():
            return
        self._ends.set()
        while self._thread.is_alive():
            self._thread.join(every_seconds)
            beat()
        if self._error is not None:
            raise NotKept(
                told("What the run made could not be put into the bucket: {error}", error=str(self._error))
            ) from self._error

    def _work(self) -> None:
        try:
            while not self._ends.wait(self._every):
                self._keep()
            until = time.monotonic() + LAST_SECONDS
            while not self._keep() and time.monotonic() < until:
                time.sleep(self._every)
        finally:
            connection.close()

    def _keep(self) -> bool:
        """Return whether all is in the bucket, or is no longer ours to put there."""
        try:
            store.keep(paths.run_folder(self.run.pk), may_write=self._is_held)
        except Exception as error:  # the bucket, the network or the database: any may be back in a moment
            log.warning("The folder of %s is not in the bucket yet: %s", self.run, error)
            self._error = error
            if isinstance(error, Error):
                connection.close_if_unusable_or_obsolete()
            return False
        self._error = None
        return True

    def _is_held(self) -> bool:
        held = Run.objects.filter(pk=self.run.pk, state=Run.State.RUNNING, claim=self.run.claim)
        return held.exists()
