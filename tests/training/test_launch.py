"""Real child processes: followed, stopped, killed, orphaned."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from django.core.files.storage import Storage

from annotation.models import Image
from tests.factories import make_campaign, make_user
from tests.training.workers import alive, toy, wait_for
from training import folder, launch, orphans
from training.errors import FolderBusy, RunLost
from training.models import Run
from training.recipes.spec import EXIT_STOPPED, RunResult, RunSpec

QUICK = launch.Patience(until_term=1.0, until_kill=2.0)


@pytest.fixture
def spec(tmp_path: Path) -> RunSpec:
    return RunSpec(kind="fit", recipe={"name": "toy"}, output=str(tmp_path / "run"), model="none", seed=7)


def forever(lines: list[dict]) -> bool:
    return True


def test_follow_reports_every_line_once_and_returns_the_exit_code(spec: RunSpec) -> None:
    seen: list[int] = []
    child = launch.start(spec, command=toy(steps=12, pause=0.02))

    def report(lines: list[dict]) -> bool:
        seen.extend(line["step"] for line in lines)
        return True

    assert launch.follow(child, report=report, every_seconds=0.05) == 0
    assert seen == list(range(1, 13))
    assert RunResult.read(spec.output) is not None
    assert "toy child" in (Path(spec.output) / "log.txt").read_text()


def test_stop_file_lets_the_child_write_a_checkpoint_and_the_next_start_goes_on_from_it(spec: RunSpec) -> None:
    child = launch.start(spec, command=toy(steps=60, pause=0.05))
    code = launch.follow(child, report=lambda lines: not lines, every_seconds=0.05, patience=launch.Patience(20, 30))
    assert code == EXIT_STOPPED
    step = json.loads((Path(spec.output) / "checkpoints/state.json").read_text())["step"]
    assert 0 < step < 60

    resumed = launch.start(spec, command=toy(steps=60))
    assert not (Path(spec.output) / "STOP").exists()
    assert launch.follow(resumed, report=forever) == 0
    starts = (Path(spec.output) / "starts.txt").read_text().splitlines()
    assert [int(line.split()[1]) for line in starts] == [0, step]


def test_a_child_that_hears_neither_is_killed_with_all_it_started(spec: RunSpec) -> None:
    child = launch.start(spec, command=toy(steps=1000, pause=0.05, mode="deaf"))
    # Not before its first step: until it has closed its ears it hears like any process.
    code = launch.follow(child, report=lambda lines: not lines, every_seconds=0.05, patience=QUICK)
    assert code == -signal.SIGKILL


def test_sigterm_follows_when_the_stop_file_is_not_seen(spec: RunSpec) -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    child = launch.start(spec, command=sleeper)
    code = launch.follow(child, report=lambda lines: False, every_seconds=0.05, patience=launch.Patience(0.2, 20))
    assert code == -signal.SIGTERM


def test_no_process_of_the_group_outlives_its_leader(spec: RunSpec) -> None:
    child = launch.start(spec, command=toy(mode="has-children"))
    assert launch.follow(child, report=forever) == 0
    grandchild = int((Path(spec.output) / "grandchild.txt").read_text())
    wait_for(lambda: not alive(grandchild), seconds=5, what="the grandchild to end")


def test_a_report_that_raises_kills_the_child(spec: RunSpec) -> None:
    child = launch.start(spec, command=toy(steps=1000, pause=0.05))

    def report(lines: list[dict]) -> bool:
        raise RunLost("somebody else has it")

    with pytest.raises(RunLost):
        launch.follow(child, report=report)
    assert not alive(child.pid)


def test_folder_of_a_living_child_is_refused_and_free_once_it_is_dead(spec: RunSpec) -> None:
    child = launch.start(spec, command=toy(steps=1000, pause=0.05, mode="deaf"))
    with pytest.raises(FolderBusy):
        launch.start(spec, command=toy(), lock_seconds=0.2)
    launch.stop(child)
    assert launch.follow(launch.start(spec, command=toy()), report=forever) == 0


def test_an_orphan_that_cannot_be_killed_from_here_makes_room_when_asked(spec: RunSpec) -> None:
    orphan = launch.start(spec, command=toy(steps=1000, pause=0.05))
    orphan.lock.close()  # as if its worker, on another machine, were gone
    child = launch.start(spec, command=toy(steps=12))
    assert orphan.process.wait(timeout=10) == EXIT_STOPPED
    assert launch.follow(child, report=forever) == 0
    steps = [int(line.split()[1]) for line in (Path(spec.output) / "starts.txt").read_text().splitlines()]
    assert len(steps) == 2
    assert steps[1] > 0


def test_orphan_of_a_killed_worker_keeps_the_folder_until_it_is_stopped(spec: RunSpec) -> None:
    """The worker is a process of its own, killed with -9; its child lives on and is found by pid and start time."""
    deaf = toy(steps=2000, pause=0.05, mode="deaf")
    program = (
        "import json, sys; from training import launch; from training.recipes.spec import RunSpec\n"
        f"spec = RunSpec.read({str(write_elsewhere(spec))!r})\n"
        f"child = launch.start(spec, command={deaf!r})\n"
        "print(json.dumps([child.pid, child.started]), flush=True)\n"
        "launch.follow(child, report=lambda lines: True)\n"
    )
    setup = "import os, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'frontend.settings'; django.setup()\n"
    worker = subprocess.Popen([sys.executable, "-c", setup + program], stdout=subprocess.PIPE)
    assert worker.stdout is not None
    pid, started = json.loads(worker.stdout.readline())
    worker.kill()
    worker.wait()
    worker.stdout.close()
    assert alive(pid)
    with pytest.raises(FolderBusy):
        launch.start(spec, command=toy(), lock_seconds=0.2)

    assert orphans.stop_orphan(pid, started - 3600), "a process that started at another time is not ours"
    assert alive(pid)
    assert orphans.stop_orphan(pid, started)
    assert not alive(pid)
    assert launch.follow(launch.start(spec, command=toy()), report=forever) == 0


def write_elsewhere(spec: RunSpec) -> Path:
    path = Path(spec.output).with_name("given.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(spec.write().read_text())
    return path


def test_orphans_that_a_dead_leader_left_are_stopped_too(spec: RunSpec) -> None:
    child = launch.start(spec, command=toy(steps=1000, pause=0.05, mode="has-children"))
    note = Path(spec.output) / "grandchild.txt"
    wait_for(lambda: note.exists() and note.read_text() != "", what="the grandchild")
    grandchild = int(note.read_text())
    os.kill(child.pid, signal.SIGKILL)
    child.process.wait()
    child.lock.close()
    assert alive(grandchild)
    assert orphans.stop_orphan(child.pid, child.started)
    assert not alive(grandchild)


def test_child_sees_no_secrets_and_no_telemetry(spec: RunSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "geheim")
    monkeypatch.setenv("DATABASE_URL", "postgres://somewhere")
    program = "import json, os, sys; open(sys.argv[1] + '.env', 'w').write(json.dumps(dict(os.environ)))"
    child = launch.start(spec, command=[sys.executable, "-c", program])
    assert launch.follow(child, report=forever) == 0
    seen = json.loads((Path(spec.output) / "spec.json.env").read_text())
    assert not set(launch.WITHHELD) & set(seen)
    assert seen["HF_HUB_DISABLE_TELEMETRY"] == "1"


def test_several_processes_go_through_torchrun() -> None:
    assert launch.command_for(1)[1:] == ["-m", "training.core.run"]
    assert launch.command_for(4)[1:] == ["-m", "training.core.several", "4"]


@pytest.mark.parametrize(
    ("processes", "sharded", "told"),
    [(1, True, {}), (4, False, {"ATTUNE_PROCESSES": "4"}), (4, True, {"ATTUNE_PROCESSES": "4", "ATTUNE_SHARDED": "1"})],
)
def test_processes_are_told_how_many_they_are_and_whether_they_share_the_model(
    settings, processes: int, sharded: bool, told: dict[str, str]
) -> None:
    """A single one has nobody to share with, whatever the setting says."""
    settings.ATTUNE_PROCESSES, settings.ATTUNE_SHARDED = processes, sharded
    assert launch.promised() == told


def test_tail_waits_for_whole_lines_and_survives_torn_ones(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    tail = folder.Tail(path)
    assert tail.read() == []
    path.write_text('{"step": 1}\n{"step": ')
    assert tail.read() == [{"step": 1}]
    with path.open("a") as file:
        file.write('2}\n{"torn\n[3]\n{"step": 4}\n')
    assert tail.read() == [{"step": 2}, {"step": 4}]
    path.write_text('{"step": 1}\n')  # cut back to a checkpoint
    assert tail.read() == [{"step": 1}]


def test_last_words_are_the_explanation_or_the_end_of_the_log(tmp_path: Path) -> None:
    assert folder.last_words(tmp_path) == ""
    (tmp_path / "log.txt").write_text("\n".join(f"line {number}" for number in range(100)))
    assert folder.last_words(tmp_path, lines=2) == "line 98\nline 99"
    (tmp_path / "error.json").write_text('{"message": "Too long."}')
    assert folder.last_words(tmp_path) == "Too long."


def test_lives_tells_a_process_from_another_with_its_number() -> None:
    started = psutil.Process().create_time()
    assert orphans.lives(os.getpid(), started)
    assert not orphans.lives(os.getpid(), started - 100)


def test_follow_from_a_thread_that_is_not_the_main_one(spec: RunSpec) -> None:
    codes: list[int] = []
    child = launch.start(spec, command=toy(steps=3))
    thread = threading.Thread(target=lambda: codes.append(launch.follow(child, report=forever)))
    thread.start()
    thread.join(timeout=30)
    assert codes == [0]


@pytest.mark.django_db
def test_images_of_a_campaign_go_along_where_they_are_files(monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = make_campaign(lead=make_user())
    image = Image.objects.create(
        campaign=campaign, sha256="a" * 64, source_sha256="b" * 64, width=1, height=1, file="images/one.png"
    )
    run = Run(campaign=campaign, kind=Run.Kind.FIT, inputs={"model": "org/base"}, recipe={"name": "toy"}, pk=1)
    assert launch.spec_of(run).images == {"a" * 64: image.file.path}
    run.kind = Run.Kind.SAMPLE
    assert launch.spec_of(run).images == {"a" * 64: image.file.path}

    # A storage that is no folder, such as a bucket, has no path, and says so as Django's own class does.
    monkeypatch.setattr(type(image.file.storage), "path", Storage.path, raising=False)
    run.kind = Run.Kind.FIT
    assert launch.spec_of(run).images == {}
