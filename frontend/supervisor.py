"""One process that starts the others in order, keeps them running and stops them again, whatever happens to it."""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn

import psutil

from frontend import processes

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOG_BYTES = 5_000_000
CALM_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 30.0


class StartFailed(Exception):
    """Something needed did not come up; the message says what to do."""


class Stopped(BaseException):
    """A person or the system asked for the end; not an error."""


@dataclass(frozen=True)
class Service:
    """A process to keep running."""

    name: str
    command: list[str]
    is_ready: Callable[[], bool]
    patience_seconds: float = 60.0  # until it must be ready
    grace_seconds: float = 10.0  # between the request to stop and the kill
    before: Callable[[], None] = lambda: None  # what has to be out of the way first


@dataclass
class Child:
    """A started service, and how its restarts go."""

    service: Service
    process: psutil.Process
    started_at: float
    pause_seconds: float = 1.0
    due_at: float | None = None  # when it is to be started again


class Supervisor:
    """Context manager: what it started is stopped when the block is left, by whatever way.

    `folder` is the run folder: it holds the lock (one supervisor at a time) and the notes about running processes.
    """

    def __init__(self, *, folder: Path, logs: Path, cwd: Path, say: Callable[[str], None]) -> None:
        self._folder, self._logs, self._cwd, self._tell = folder, logs, cwd, say
        self._home_mark = f"{folder}:"
        self.token = secrets.token_hex(4)
        self._mark = f"{self._home_mark}{self.token}"
        self._notes = folder / "processes.json"
        self._children: list[Child] = []
        self._log_starts: dict[str, int] = {}  # where this start's lines begin in each log
        self._stack = ExitStack()
        self._signals_while_stopping = 0

    def __enter__(self) -> Supervisor:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        for number in SIGNALS:
            before = signal.getsignal(number)
            if number == signal.SIGHUP and before == signal.SIG_IGN:
                continue  # started by nohup: the terminal may go, Attune stays
            signal.signal(number, self._on_signal)
            self._stack.callback(signal.signal, number, before)
        self._start_keeper()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        for number in SIGNALS:
            if signal.getsignal(number) == self._on_signal:
                signal.signal(number, self._on_signal_while_stopping)
        try:
            self.stop()
        finally:
            self._stack.close()
        return kind is not None and issubclass(kind, Stopped)

    def _say(self, line: str) -> None:
        # The terminal may be gone, and that is no reason to leave things running or to stop them.
        with suppress(OSError):
            self._tell(line)

    def _take_lock(self) -> None:
        lock = (self._folder / "supervisor.lock").open("a+")
        self._stack.enter_context(lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            raise StartFailed(
                f"Attune already runs on this data folder ({holder}). Use it, stop it with Ctrl-C in its terminal, "
                "or give this one a folder of its own: ATTUNE_HOME=/another/folder ./attune demo --port 8001"
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}")
        lock.flush()

    def _start_keeper(self) -> None:
        # The keeper must not carry the mark: it would stop itself.
        keeper = subprocess.Popen(
            [sys.executable, "-m", "frontend.keeper", str(self._notes), self._mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._cwd,
            start_new_session=True,
        )
        self._stack.callback(keeper.wait)
        if keeper.stdin is not None:
            self._stack.callback(keeper.stdin.close)

    def clear_leftovers(self) -> None:
        """Stop what an earlier supervisor left running when it was killed together with its keeper."""
        left = processes.stop_all(processes.read_notes(self._notes), mark=self._home_mark)
        if left:
            self._say(f"Stopped what an earlier start had left running: {', '.join(left)}.")
        processes.write_notes(self._notes, [])

    def adopt(self, service: Service, process: psutil.Process) -> None:
        """Take over a living process as if it had been started here."""
        self._children.append(Child(service, process, time.monotonic()))
        self._note()

    def start(self, *services: Service) -> None:
        """Start services side by side and return when all are ready; StartFailed with the end of a log otherwise.

        What was started before is looked after meanwhile: a worker is never ready without its broker.
        """
        earlier = list(self._children)
        for service in services:
            self._children.append(Child(service, self._spawn(service), time.monotonic()))
            self._note()
        for child in self._children[-len(services) :]:
            self._wait_until_ready(child, earlier)

    def _wait_until_ready(self, child: Child, earlier: Sequence[Child]) -> None:
        service = child.service
        while not service.is_ready():
            for one in earlier:
                self._look_after(one)
            if not processes.runs(child.process):
                raise StartFailed(f"The {service.name} stopped while starting. {self._last_words(service)}")
            if time.monotonic() > child.started_at + service.patience_seconds:
                late = f"The {service.name} was not ready after {service.patience_seconds:.0f} s."
                raise StartFailed(f"{late} {self._last_words(service)}")
            time.sleep(0.1)

    def watch(self) -> NoReturn:
        """Keep the children running until a signal comes."""
        while True:
            self.look_after_children()
            time.sleep(0.5)

    def look_after_children(self) -> None:
        """Start again what has stopped; for callers that wait for something else meanwhile."""
        for child in self._children:
            self._look_after(child)

    def _look_after(self, child: Child) -> None:
        now = time.monotonic()
        if processes.runs(child.process):
            if now - child.started_at > CALM_SECONDS:
                child.pause_seconds = 1.0
            return
        if child.due_at is None:
            self._say(f"The {child.service.name} stopped by itself; starting it again in {child.pause_seconds:.0f} s.")
            self._say(self._last_words(child.service))
            child.due_at = now + child.pause_seconds
            child.pause_seconds = min(child.pause_seconds * 2, LONGEST_PAUSE_SECONDS)
        elif now >= child.due_at:
            child.process, child.started_at, child.due_at = self._spawn(child.service), now, None
            self._note()

    def stop(self) -> None:
        """Stop all children in reverse order, and whatever they left behind."""
        if self._children:
            self._say("Stopping …")
        processes.stop_all(self._noted(), mark=self._mark, hurry=lambda: self._signals_while_stopping > 0)
        self._children.clear()
        with suppress(OSError):  # a full disk must not turn an orderly stop into an error
            self._note()

    def _spawn(self, service: Service) -> psutil.Process:
        service.before()
        log = self._log(service)
        with suppress(OSError):
            if log.stat().st_size > LOG_BYTES:
                log.replace(log.with_suffix(".log.1"))
        self._log_starts[service.name] = log.stat().st_size if log.exists() else 0
        environment = {**os.environ, processes.MARK: self._mark, "PYTHONUNBUFFERED": "1"}
        with log.open("ab") as output:
            # A session of its own: Ctrl-C in the terminal reaches the supervisor alone, and it decides the order.
            return psutil.Popen(
                service.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._cwd,
                env=environment,
                start_new_session=True,
            )

    def _note(self) -> None:
        processes.write_notes(self._notes, self._noted())

    def _noted(self) -> list[processes.Noted]:
        notes = []
        for child in self._children:
            with suppress(psutil.Error):
                notes.append(
                    processes.Noted(
                        child.service.name, child.process.pid, child.process.create_time(), child.service.grace_seconds
                    )
                )
        return notes

    def _log(self, service: Service) -> Path:
        return self._logs / f"{service.name.replace(' ', '-')}.log"

    def _last_words(self, service: Service) -> str:
        log = self._log(service)
        with suppress(OSError):
            with log.open("rb") as file:
                file.seek(self._log_starts.get(service.name, 0))
                lines = [line for line in file.read().decode(errors="replace").splitlines()[-40:] if line.strip()]
            if lines:
                return "Its log ends with:\n    " + "\n    ".join(lines[-6:]) + f"\n  The whole log: {log}"
        return f"Its log: {log}"

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        raise Stopped

    def _on_signal_while_stopping(self, number: int, frame: FrameType | None) -> None:
        # A second Ctrl-C means: now.
        self._signals_while_stopping += 1
