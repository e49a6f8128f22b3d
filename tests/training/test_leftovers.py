"""What was begun and left: deleted after a day, unless somebody may go on from it."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from annotation.models import User
from tests.factories import judge, make_campaign
from training import paths
from training.models import ModelVersion, Run
from training.services import leftovers, model_folders, runs, snapshots

pytestmark = pytest.mark.django_db
DAY_AND_MORE = timedelta(days=1, minutes=5).total_seconds()


def begun(path: Path, *, folder: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if folder:
        path.mkdir()
        (path / "weights").write_text("half")
    else:
        path.write_text("half")
    os.utime(path, (time.time() - DAY_AND_MORE,) * 2)
    return path


def test_what_the_killed_had_begun_goes_and_what_a_run_goes_on_from_stays(lead: User, annotator: User) -> None:
    campaign = make_campaign(lead=lead, annotators=[annotator], tasks=1)
    judge(annotator, campaign)
    snapshot = snapshots.freeze(campaign=campaign, view="pairs", filters={}, actor=lead)
    folders = {}
    for state in (Run.State.SUCCEEDED, Run.State.FAILED, Run.State.RUNNING):
        run = runs.create(
            campaign=campaign, recipe="dpo", knobs={}, actor=lead, snapshot=snapshot, inputs={"model": "org/base"}
        )
        Run.objects.filter(pk=run.pk).update(state=state)
        folders[state] = paths.run_folder(run.pk)
    gone = [
        begun(paths.files() / "snapshots" / "tmpabc.part"),
        begun(folders["succeeded"] / "model.part", folder=True),
        begun(folders["succeeded"] / "checkpoints" / "step-1.part", folder=True),
        begun(folders["failed"] / "result.json.7-8.part"),
    ]
    kept = [
        begun(folders["failed"] / "samples.jsonl.0.part"),  # rows that a retry goes on from
        begun(folders["running"] / "result.json.7-8.part"),
        paths.files() / snapshot.path,
    ]
    young = paths.files() / "snapshots" / "tmpnew.part"
    young.write_text("being written")
    assert set(leftovers.leftovers()) == set(gone)
    assert leftovers.delete_leftovers() == len(gone)
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in [*kept, young])
    assert leftovers.delete_leftovers() == 0


def test_numbers_of_a_reference_go_when_no_run_has_used_them_for_a_month() -> None:
    folder = paths.reference_cache()
    used, unused, half = (begun(folder / name) for name in ("a-1.safetensors", "b-1.safetensors", "b-2.7-8.part"))
    month = leftovers.REFERENCE_KEPT.total_seconds() + 300
    os.utime(unused, (time.time() - month,) * 2)
    assert set(leftovers.leftovers()) == {unused, half}
    assert leftovers.delete_leftovers() == 2
    assert list(folder.iterdir()) == [used]


def test_merged_weights_go_when_nobody_takes_them_away_and_with_their_version(lead: User) -> None:
    campaign = make_campaign(lead=lead, tasks=1)
    used, unused = (
        ModelVersion.objects.create(campaign=campaign, kind="policy", number=n, path=str(paths.files())) for n in (1, 2)
    )
    week = leftovers.MERGED_KEPT.total_seconds() + 300
    kept = [begun(model_folders.merged_folder(used.pk), folder=True)]  # old enough for what was begun, not for these
    gone = [begun(model_folders.merged_folder(n), folder=True) for n in (unused.pk, unused.pk + 1)]
    gone += [begun(model_folders.merged_folder(used.pk).with_suffix(".failed"))]
    for path in (gone[0], gone[2]):
        os.utime(path, (time.time() - week,) * 2)
    gone.append(begun(model_folders.merged_folder(used.pk).with_name(f"{used.pk}.part"), folder=True))
    assert set(leftovers.leftovers()) == set(gone)
    assert leftovers.delete_leftovers() == len(gone)
    assert list((paths.files() / "merged").iterdir()) == kept
