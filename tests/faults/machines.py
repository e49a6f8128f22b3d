"""What is killed: a whole `serve` with its web server, workers, children and broker, and the database beside it."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from frontend import processes
from tests.postgres import Server

ROOT = Path(__file__).resolve().parents[2]
SERVICES = 5  # broker, web server and three workers
# How often each is chosen, where it is there.
WEIGHTS = {
    "web server": 12,
    "web process": 10,
    "worker default": 10,
    "worker gpu": 9,
    "worker chat": 3,
    "process of a worker": 9,
    "child": 20,
    "broker": 11,
    "database": 10,
    "connection of the database": 5,
    "everything": 3,
}


class Machines:
    """The processes of one installation below `home`, with a database that can be killed."""

    def __init__(self, home: Path, database: Server) -> None:
        self.home, self.database = home, database
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.log = home / "serve.log"
        self.starts = 0
        self._closing = threading.Event()
        self._serve: subprocess.Popen[bytes] | None = None
        self._watcher = threading.Thread(target=self._watch)
        self._database_lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._watcher.start()

    def _watch(self) -> None:
        """Start `serve` again when it is gone, as systemd would."""
        while not self._closing.is_set():
            if self._serve is None or self._serve.poll() is not None:
                self.starts += 1
                with self.log.open("ab") as log:
                    self._serve = subprocess.Popen(
                        [sys.executable, "-m", "tests.faults.serving", "--port", str(self.port), "--processes", "1"],
                        cwd=ROOT,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
            time.sleep(0.2)

    def stop(self, *, seconds: float = 120.0) -> int:
        """Ask `serve` to stop, as Ctrl-C does; return its exit code."""
        self._closing.set()
        self._watcher.join()
        assert self._serve is not None
        self._serve.send_signal(signal.SIGINT)
        try:
            return self._serve.wait(seconds)
        except subprocess.TimeoutExpired:
            self._serve.kill()
            return self._serve.wait()

    def everything(self) -> list[psutil.Process]:
        """Return every living process that was started for this installation, by whomever."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                ours = process.pid != os.getpid() and process.environ().get("ATTUNE_HOME") == str(self.home)
                if ours and processes.runs(process):
                    found.append(process)
        return found

    def is_up(self) -> bool:
        """Return whether everything was started and the web server answers."""
        if self._serve is None or len(processes.read_notes(self.home / "run" / "processes.json")) < SERVICES:
            return False
        with suppress(OSError, urllib.error.URLError), urllib.request.urlopen(f"{self.url}/healthz", timeout=5):
            return True
        return False

    # --- Killing ------------------------------------------------------------------------------------------------

    def kill_something(self, dice: random.Random) -> str:
        """Kill one of what is there and return what it was; the supervisor, or the watcher, starts it again."""
        while True:
            (name,) = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))
            if self._kill(name, dice):
                return name
            time.sleep(0.1)

    def _kill(self, name: str, dice: random.Random) -> bool:
        if name == "database":
            with self._database_lock:
                self.database.kill()
                time.sleep(dice.uniform(0.1, 2.0))
                self.database.start()
            return True
        if name == "connection of the database":
            return _end(dice, self._connections(), signal.SIGKILL)
        if name == "everything":
            return _end(dice, [psutil.Process(self._serve.pid)] if self._serve else [], signal.SIGKILL)
        if name == "child":
            return _end(dice, self._children(), dice.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
        noted = {note.name: note for note in processes.read_notes(self.home / "run" / "processes.json")}
        if name in ("web process", "process of a worker"):
            parents = [one for one in noted if one.startswith("web" if name == "web process" else "worker")]
            return _end(dice, [c for one in parents for c in _children_of(noted[one].pid)], signal.SIGKILL)
        process = noted[name].find() if name in noted else None
        return _end(dice, [process] if process else [], dice.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))

    def _children(self) -> list[psutil.Process]:
        """Return the processes of runs."""
        found = []
        for process in processes.marked(f"{self.home / 'run'}:"):
            with suppress(psutil.Error):
                if "training.core.run" in process.cmdline():
                    found.append(process)
        return found

    def _connections(self) -> list[psutil.Process]:
        found = []
        for process in _children_of(self.database.pid):
            with suppress(psutil.Error):
                if "postgres postgres [local]" in " ".join(process.cmdline()):
                    found.append(process)
        return found


def _children_of(pid: int) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return psutil.Process(pid).children()
    return []


def _end(dice: random.Random, found: list[psutil.Process], number: int) -> bool:
    if not found:
        return False
    try:
        dice.choice(found).send_signal(number)
    except psutil.Error:
        return False
    return True


def wait_for(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Return whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True
