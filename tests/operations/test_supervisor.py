"""The supervisor with real processes: whatever happens to it, nothing it started is left running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from frontend import processes
from frontend.supervisor import Service, Supervisor

ROOT = Path(__file__).resolve().parents[2]
Start = Callable[[], subprocess.Popen]


def wait_for(condition: Callable[[], object], *, seconds: float = 30.0, what: str = "") -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what or condition}"
        time.sleep(0.05)


def left_running(folder: Path) -> list[psutil.Process]:
    """Return every process of the machine that carries this folder's mark, whatever the supervisor's notes say."""
    return processes.marked(f"{folder / 'run'}:")


def keeper_of(folder: Path) -> psutil.Process | None:
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        if "frontend.keeper" in command and str(folder / "run" / "processes.json") in command:
            return process
    return None


def noted(folder: Path) -> dict[str, int]:
    return {note["name"]: note["pid"] for note in json.loads((folder / "run" / "processes.json").read_text())}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen] = []

    def start() -> subprocess.Popen:
        for name in ("broker", "worker", "child"):
            (tmp_path / name).unlink(missing_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.operations.supervised", str(tmp_path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        wait_for(lambda: (tmp_path / "child").exists() or process.poll() is not None, what="the stack")
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
    processes.kill(left_running(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_stops_everything_and_leaves_nothing_running(start: Start, tmp_path: Path, number: signal.Signals):
    process = start()
    wait_for(lambda: len(left_running(tmp_path)) == 3, what="broker, worker and the worker's child")
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    assert "Stopping …" in output
    assert left_running(tmp_path) == []
    assert keeper_of(tmp_path) is None
    # The run was not cut off: it had time for its checkpoint.
    assert (tmp_path / "checkpoint").exists()


def test_a_second_signal_kills_at_once_what_does_not_stop(start: Start, tmp_path: Path):
    process = start()
    os.kill(noted(tmp_path)["worker"], signal.SIGSTOP)  # deaf to the polite request
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=15)
    assert left_running(tmp_path) == []


def test_a_crashed_process_is_started_again_and_said_so(start: Start, tmp_path: Path):
    process = start()
    first = noted(tmp_path)
    os.kill(first["broker"], signal.SIGKILL)
    wait_for(lambda: noted(tmp_path).get("broker", first["broker"]) != first["broker"], what="a new broker")
    assert noted(tmp_path)["worker"] == first["worker"]
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert "The broker stopped by itself; starting it again in 1 s." in output
    assert left_running(tmp_path) == []


def test_what_dies_while_another_one_starts_is_started_again_meanwhile(tmp_path: Path):
    """As a broker that dies while workers start: they would wait for it, and it for them."""
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    killed: list[int] = []

    def is_ready() -> bool:
        broker = noted(tmp_path)["broker"]
        if not killed:
            killed.append(broker)
            os.kill(broker, signal.SIGKILL)
        return broker != killed[0]

    with Supervisor(folder=tmp_path / "run", logs=tmp_path / "log", cwd=ROOT, say=lambda _: None) as supervisor:
        supervisor.start(Service("broker", sleeper, lambda: True))
        supervisor.start(Service("worker", sleeper, is_ready, patience_seconds=20))
    assert left_running(tmp_path) == []


def test_without_a_terminal_to_speak_to_it_goes_on_and_stops_in_order(start: Start, tmp_path: Path):
    process = start()
    assert process.stdout is not None
    wait_for(lambda: "up" in process.stdout.readline(), what="the last line that anybody reads")
    process.stdout.close()
    first = noted(tmp_path)["broker"]
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: noted(tmp_path).get("broker", first) != first, what="a new broker")
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=30) == 0
    assert left_running(tmp_path) == []


def test_a_run_whose_worker_was_killed_is_stopped_too(start: Start, tmp_path: Path):
    """The child then belongs to nobody: only its mark tells where it came from."""
    process = start()
    os.kill(noted(tmp_path)["worker"], signal.SIGKILL)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert left_running(tmp_path) == []
    assert (tmp_path / "checkpoint").exists()


def test_after_kill_9_the_keeper_stops_everything(start: Start, tmp_path: Path):
    process = start()
    process.kill()
    wait_for(lambda: left_running(tmp_path) == [], what="the keeper to stop all")
    wait_for(lambda: keeper_of(tmp_path) is None, what="the keeper to leave")


def test_after_kill_9_of_supervisor_and_keeper_the_next_start_cleans_up(start: Start, tmp_path: Path):
    process = start()
    keeper = keeper_of(tmp_path)
    assert keeper is not None
    keeper.kill()
    process.kill()
    process.wait()
    orphans = {orphan.pid for orphan in left_running(tmp_path)}
    assert len(orphans) == 3
    again = start()
    assert not orphans & {one.pid for one in left_running(tmp_path)}
    again.send_signal(signal.SIGINT)
    output, _ = again.communicate(timeout=30)
    assert "Stopped what an earlier start had left running: worker, broker" in output
    assert left_running(tmp_path) == []


def test_a_second_supervisor_of_the_same_folder_is_refused_in_a_sentence(start: Start, tmp_path: Path):
    first = start()
    before = {one.pid for one in left_running(tmp_path)}
    second = subprocess.run(
        [sys.executable, "-m", "tests.operations.supervised", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert second.returncode == 1
    assert f"Attune already runs on this data folder (process {first.pid})" in second.stdout
    assert "ATTUNE_HOME=" in second.stdout
    assert {one.pid for one in left_running(tmp_path)} == before


def test_notes_cut_off_by_a_full_disk_are_read_as_none(tmp_path: Path):
    path = tmp_path / "processes.json"
    processes.write_notes(path, [processes.Noted("broker", 1, 2.0, 3.0)])
    assert processes.read_notes(path) == [processes.Noted("broker", 1, 2.0, 3.0)]
    path.write_text(path.read_text()[:20])
    assert processes.read_notes(path) == []


def test_a_reused_pid_is_not_taken_for_the_noted_process():
    mine = psutil.Process()
    assert processes.Noted("me", mine.pid, mine.create_time(), 1.0).find() == mine
    assert processes.Noted("me", mine.pid, mine.create_time() - 60, 1.0).find() is None
