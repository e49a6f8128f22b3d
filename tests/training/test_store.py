"""Machines without a disk that all share: each has a files folder of its own, and the same bucket and database."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from annotation.models import Campaign, User
from tests.buckets import bucket, endpoint, keys_in, shared_files
from tests.factories import judge, make_task
from tests.training.workers import toy
from training import launch, paths, store
from training.errors import TrainingError
from training.management.commands import keep_files
from training.models import ModelVersion, Run, StoredFile
from training.services import execution, keeping, leftovers, model_folders, runs, snapshots, traces, versions

__all__ = ["bucket", "endpoint", "shared_files"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("shared_files")]
Machines = Callable[[str], Path]


@pytest.fixture
def on(tmp_path: Path, settings: Any) -> Machines:
    """Return what makes this process one on the machine of this name."""

    def change(name: str) -> Path:
        settings.ATTUNE_FILES = tmp_path / "machines" / name
        settings.ATTUNE_FILES.mkdir(parents=True, exist_ok=True)
        return Path(settings.ATTUNE_FILES)

    return change


def write(machine: Path, name: str, text: str) -> Path:
    path = machine / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def run(on: Machines, campaign: Campaign, lead: User) -> Run:
    """A queued run from a policy that lies on machine `a`."""
    folder = write(on("a"), "models/base/config.json", "{}").parent
    call_command("keep_files", "models/base")
    policy = versions.register(
        campaign=campaign, kind="policy", path=str(folder), actor=None, state=ModelVersion.State.PROMOTED
    )
    data = store.keep(write(paths.files(), "snapshots/rows.jsonl", '{"a": 1}\n'))
    return runs.create(campaign=campaign, recipe="dpo", knobs={}, actor=lead, parent=policy, inputs={"data": data})


# --- Files -------------------------------------------------------------------------------------------------------


def test_what_one_machine_keeps_another_reads(on: Machines) -> None:
    assert store.keep(write(on("a"), "suites/one.jsonl", "first\n")) == "suites/one.jsonl"
    on("b")
    assert store.exists("suites/one.jsonl")
    assert store.exists("suites")
    assert not store.exists("suites/on")
    assert store.names("suites") == ["suites/one.jsonl"]
    assert not (paths.files() / "suites").exists()
    assert Path(store.fetch("suites/one.jsonl")).read_text() == "first\n"
    on("a")
    store.keep(write(paths.files(), "suites/one.jsonl", "second, and longer\n"))
    on("b")
    assert Path(store.fetch("suites/one.jsonl")).read_text() == "second, and longer\n"


def test_old_bytes_do_not_stay_in_the_bucket(on: Machines, shared_files: Any) -> None:
    path = write(on("a"), "suites/one.jsonl", "first\n")
    store.keep(path)
    before = keys_in(shared_files)
    store.keep(write(paths.files(), "suites/one.jsonl", "second\n"))
    after = keys_in(shared_files)
    assert len(before) == len(after) == 1
    assert before.isdisjoint(after)


def test_what_is_deleted_goes_everywhere(on: Machines, shared_files: Any) -> None:
    path = write(on("a"), "suites/one.jsonl", "of somebody\n")
    store.keep(path)
    on("b")
    there = Path(store.fetch("suites/one.jsonl"))
    on("a")
    store.drop(path)
    path.unlink()
    assert keys_in(shared_files) == set()
    assert not store.exists("suites/one.jsonl")
    on("b")
    store.sweep()
    assert not there.exists()


def test_what_was_written_here_and_not_kept_yet_stays(on: Machines) -> None:
    store.keep(write(on("a"), "runs/1/log.txt", "one\n"))
    write(paths.files(), "runs/1/log.txt", "one\ntwo\n")
    assert store.run_file(1, "log.txt").read_text() == "one\ntwo\n"


def test_a_file_that_grows_is_kept_as_it_was_when_it_was_looked_at(on: Machines) -> None:
    path = write(on("a"), "runs/1/log.txt", "one\n")
    with path.open("ab") as grows:
        start = store._Start(path.open("rb"), path.stat().st_size)
        grows.write(b"two\n")
        grows.flush()
        assert start.read() == b"one\n"
        start.seek(2)
        assert (start.read(1), start.read(), start.read()) == (b"e", b"\n", b"")


def test_a_folder_without_some_of_its_files_is_kept_so(on: Machines) -> None:
    folder = write(on("a"), "runs/1/checkpoints/step-1/state.json", "1").parent.parent
    for own in ("lock", "STOP", "spec.json", "result.json.77-88.part"):
        write(paths.files(), f"runs/1/{own}", "of this machine")
    store.keep(folder.parent)
    assert store.names("runs/1/checkpoints") == ["runs/1/checkpoints/step-1/state.json"]
    assert StoredFile.objects.count() == 1
    shutil.move(folder / "step-1", folder / "step-2")
    store.keep(folder.parent)
    on("b")
    assert store.names("runs/1") == ["runs/1/checkpoints/step-2/state.json"]


def test_bytes_that_are_damaged_or_gone_are_told(on: Machines, shared_files: Any) -> None:
    store.keep(write(on("a"), "suites/one.jsonl", "first\n"))
    (key,) = keys_in(shared_files)
    on("b")
    shared_files.put_object(Bucket="pictures", Key=key, Body=b"other\n")
    with pytest.raises(TrainingError, match="damaged"):
        store.fetch("suites/one.jsonl")
    shared_files.delete_object(Bucket="pictures", Key=key)
    with pytest.raises(TrainingError, match="Restore it from a backup"):
        store.fetch("suites/one.jsonl")
    assert not [path for path in paths.files().rglob("*") if path.is_file()]


def test_bytes_that_no_row_names_are_swept(on: Machines, shared_files: Any) -> None:
    store.keep(write(on("a"), "suites/one.jsonl", "first\n"))
    shared_files.put_object(Bucket="pictures", Key="attune/files/runs/9/log.txt/abc", Body=b"left")
    assert store.sweep() == 0  # somebody may be about to name them
    assert store.sweep(timedelta(0)) == 1
    assert leftovers.delete_leftovers() == 0
    assert len(keys_in(shared_files)) == 1
    assert (paths.files() / "suites/one.jsonl").read_text() == "first\n"  # what is in the bucket stays here too


def test_names_outside_the_files_folder_are_left_alone(on: Machines, tmp_path: Path) -> None:
    on("a")
    outside = tmp_path / "elsewhere.jsonl"
    outside.write_text("mine\n")
    assert store.keep(outside) == store.fetch(str(outside)) == str(outside)
    assert store.fetch("Qwen/Qwen2.5-0.5B") == "Qwen/Qwen2.5-0.5B"
    model = write(tmp_path / "theirs", "model/config.json", "{}").parent
    assert store.fetch(str(model)) == str(model)
    store.keep(write(paths.files(), "suites/one.jsonl", "first\n"))
    assert store.fetch("") == str(paths.files())
    assert (paths.files() / "suites/one.jsonl").exists()
    StoredFile.objects.all().delete()
    assert StoredFile.objects.count() == 0
    with pytest.raises(CommandError, match="not below the files folder"):
        call_command("keep_files", "../elsewhere.jsonl")


# --- Work --------------------------------------------------------------------------------------------------------


def test_a_data_set_is_frozen_here_and_read_there(on: Machines, campaign: Campaign, annotator: User) -> None:
    on("a")
    make_task(campaign)
    judge(annotator, campaign, preference=2)
    snapshot = snapshots.freeze(campaign=campaign, view="pairs", filters={}, actor=None)
    on("b")
    assert len(list(snapshots.lines(snapshot))) == snapshot.rows > 0


def test_a_model_is_trained_here_and_looked_at_there(run: Run, on: Machines, tmp_path: Path) -> None:
    on("b")
    done = execution.execute(run.pk, command=toy(steps=3))
    assert done is not None and done.state == Run.State.SUCCEEDED, done and done.error
    assert (paths.files() / "models/base/config.json").exists()  # what it started from was brought
    output = done.output
    assert output is not None
    on("c")
    assert [row["step"] for row in traces.metrics(run)] == [1, 2, 3]
    assert "toy child" in traces.log_tail(run)
    assert model_folders.is_here(output)
    assert not (paths.files() / output.path).exists()  # a look at a page does not bring a model
    folder = model_folders.export(version=output, into=tmp_path / "out", merged=False, actor=None, confirmed=True)
    assert (folder / "weights.txt").exists()


def test_a_run_goes_on_where_another_machine_left_it(run: Run, on: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = on("b")
    beat = runs.beat

    def until_a_checkpoint(held: Run, progress: dict[str, Any] | None = None) -> bool:
        execution.STOPPING.value = bool(progress and progress["step"] >= 3)
        return beat(held, progress)

    monkeypatch.setattr(runs, "beat", until_a_checkpoint)
    stopped = execution.execute(run.pk, command=toy(steps=60, pause=0.2))
    assert stopped is not None and stopped.state == Run.State.QUEUED
    monkeypatch.undo()
    execution.STOPPING.value = False
    shutil.rmtree(machine)  # its files folder has the same name everywhere, and here is nothing in it
    machine.mkdir()
    done = execution.execute(run.pk, command=toy(steps=60))
    assert done is not None and done.state == Run.State.SUCCEEDED, done and done.error
    first, second = (row.split()[1] for row in (paths.run_folder(run.pk) / "starts.txt").read_text().splitlines())
    assert int(first) == 0 < int(second)
    assert [row["step"] for row in traces.metrics(run)] == list(range(1, 61))


def test_a_checkpoint_on_a_lost_machine_forgives_its_attempts(run: Run, on: Machines) -> None:
    on("b")
    held = runs.claim(run.pk, runs.claim_name())
    assert held is not None
    Run.objects.filter(pk=run.pk).update(attempts=runs.MAX_ATTEMPTS)
    held.refresh_from_db()
    store.keep(write(paths.files(), f"runs/{run.pk}/checkpoints/step-1/state.json", "{}"))
    on("c")
    runs.requeue(held, reason=keeping.told("Its worker was lost."))
    held.refresh_from_db()
    assert (held.state, held.attempts) == (Run.State.QUEUED, 0)


def test_who_lost_a_run_does_not_write_over_what_its_successor_kept(run: Run, on: Machines) -> None:
    on("b")
    held = runs.claim(run.pk, runs.claim_name())
    assert held is not None
    with keeping.Keeper(held, every_seconds=60) as keeper:
        store.keep(write(on("c"), f"runs/{run.pk}/log.txt", "of the successor\n"))
        Run.objects.filter(pk=run.pk).update(claim="somebody else")
        write(on("b"), f"runs/{run.pk}/log.txt", "of who lost it\n")
        keeper.finish(lambda: None)
    on("d")
    assert traces.log_tail(run) == "of the successor\n"


def test_a_bucket_that_is_gone_costs_no_result(
    run: Run, on: Machines, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    on("b")
    monkeypatch.setattr(keeping, "LAST_SECONDS", 0.0)
    monkeypatch.setattr(store, "_keep", lambda *_: (_ for _ in ()).throw(ConnectionError("no route")))
    waits = execution.execute(run.pk, command=toy(steps=3))
    assert waits is not None and waits.state == Run.State.QUEUED
    assert "could not be put into the bucket: no route" in str(waits.error)
    monkeypatch.undo()
    done = execution.execute(run.pk, command=toy(steps=3))
    assert done is not None and done.state == Run.State.SUCCEEDED
    assert (paths.run_folder(run.pk) / "starts.txt").read_text().count("\n") == 1  # it only had to be put there


def test_images_out_of_a_bucket_are_learned_from(run: Run, on: Machines, campaign: Campaign) -> None:
    from annotation.models import Image
    from annotation.services.intake import import_lines
    from tests.annotation.pictures import data_uri, picture

    row = {"id": "seen", "prompt": "What?", "image": data_uri(picture()), "completions": ["A wren.", "A robin."]}
    assert import_lines(campaign=campaign, lines=[json.dumps(row)], actor=None).errors == []
    image = Image.objects.get(campaign=campaign)
    on("b")
    assert launch.spec_of(run).images == {}  # no row names it
    store.keep(write(paths.files(), "snapshots/rows.jsonl", json.dumps({"image": image.sha256}) + "\n"))
    ((sha256, path),) = launch.spec_of(run).images.items()
    assert sha256 == image.sha256
    assert Path(path).read_bytes().startswith(b"\x89PNG")
    image.delete()
    assert launch.spec_of(run).images == {}
    assert not Path(path).exists()


def test_the_same_text_is_kept_once(on: Machines) -> None:
    on("a")
    first = store.keep_text("suites", "one\ud800\n")
    written = (paths.files() / first).stat().st_mtime_ns
    assert store.keep_text("suites", "one\ud800\n") == first != store.keep_text("suites", "two\n")
    assert (paths.files() / first).stat().st_mtime_ns == written
    on("b")
    assert Path(store.fetch(first)).read_text() == "one?\n"


def test_every_folder_that_is_stored_by_name_is_put_into_a_new_bucket() -> None:
    """What `keep_files` does not name would be missing on the other machines."""
    root = Path(store.__file__).parent
    named = re.compile(r'(?:paths\.files\(\) / |keep_text\()"(\w+)"')
    folders = {folder for path in (root / "services").glob("*.py") for folder in named.findall(path.read_text())}
    assert {"untouched", "held_out", "suites", "documents"} <= folders <= set(keep_files.KEPT)
