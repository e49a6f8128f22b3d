"""What processes that were killed had begun: files and folders that are put in place by rename, and never were."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from training import paths
from training.models import Run

KEPT = timedelta(days=1)
# `write_text`'s own, which no successor takes up. What else ends so may be rows that a run goes on from.
_DRAFT = re.compile(r"\.\d+-\d+\.part$")


def leftovers(older_than: timedelta = KEPT) -> Iterator[Path]:
    """Yield what was begun, is older than this, and no run that goes on or may be retried takes up."""
    before = time.time() - older_than.total_seconds()
    found = list((paths.files() / "snapshots").glob("*.part"))
    for number, state in Run.objects.filter(state__in=Run.FINAL).values_list("pk", "state").iterator():
        begun = paths.run_folder(number).rglob("*.part")
        found += [path for path in begun if state == Run.State.SUCCEEDED or _DRAFT.search(path.name)]
    for path in found:
        with suppress(FileNotFoundError):  # another process was faster
            if path.stat().st_mtime < before:
                yield path


def delete_leftovers(older_than: timedelta = KEPT) -> int:
    """Delete what `leftovers` yields and return how many that were. Safe to run at once with itself."""
    deleted = 0
    for path in list(leftovers(older_than)):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        deleted += 1
    return deleted
