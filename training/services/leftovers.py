"""What nobody needs any more: what killed processes had begun, merged weights and numbers that nobody asks for.

What is begun is put in place by rename, and here never was. Merged weights are as large as the whole model, can be made
again from their adapter at any time, and go when they were not downloaded for a week, or with their version. The
log-probabilities under a reference go when no run has used them for a month.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from training import paths, store
from training.models import ModelVersion, Run
from training.services.model_folders import merged_folder

KEPT = timedelta(days=1)
MERGED_KEPT = timedelta(days=7)
REFERENCE_KEPT = timedelta(days=30)
# `write_text`'s own, which no successor takes up. What else ends so may be rows that a run goes on from.
_DRAFT = re.compile(r"\.\d+-\d+\.part$")


def leftovers(older_than: timedelta = KEPT) -> Iterator[Path]:
    """Yield what was begun, is older than this, and no run that goes on or may be retried takes up; merged weights too.

    A merged folder is as old as its last download, and a reference's log-probabilities as their last use.
    """
    yield from _unused_merges(max(older_than, MERGED_KEPT))
    yield from _older(paths.reference_cache().glob("*.safetensors"), max(older_than, REFERENCE_KEPT))
    found = [path for name in ("snapshots", "merged") for path in (paths.files() / name).glob("*.part")]
    found += paths.reference_cache().glob("*.part")
    for number, state in Run.objects.filter(state__in=Run.FINAL).values_list("pk", "state").iterator():
        begun = paths.run_folder(number).rglob("*.part")
        found += [path for path in begun if state == Run.State.SUCCEEDED or _DRAFT.search(path.name)]
    yield from _older(found, older_than)


def _older(found: Iterable[Path], than: timedelta) -> Iterator[Path]:
    before = time.time() - than.total_seconds()
    for path in found:
        with suppress(FileNotFoundError):  # another process was faster
            if path.stat().st_mtime < before:
                yield path


def _unused_merges(older_than: timedelta) -> Iterator[Path]:
    """Yield merged folders, and what became of orders to merge, that are older than this or of no version."""
    before = time.time() - older_than.total_seconds()
    there = {merged_folder(number).name for number in ModelVersion.objects.values_list("pk", flat=True).iterator()}
    for path in (paths.files() / "merged").glob("*"):
        with suppress(FileNotFoundError):
            if path.suffix != ".part" and (path.stem not in there or path.stat().st_mtime < before):
                yield path


def delete_leftovers(older_than: timedelta = KEPT) -> int:
    """Delete what `leftovers` yields and return how many that were. Safe to run at once with itself."""
    deleted = 0
    for path in list(leftovers(older_than)):
        store.drop(path)
        if path.is_dir():
            if path.suffix != ".part":  # half of its files would look like all of them
                with suppress(FileNotFoundError):
                    path = path.rename(path.with_name(path.name + ".part"))
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        deleted += 1
    store.sweep()
    return deleted
