"""Files of images that no row points to: those of campaigns that were deleted, and of imports that were killed midway.

Nothing is deleted while it may still be in use: an import writes the files first and their rows after, and a database
that was restored from a backup may point to files that are newer than it. So a file must be older than a grace period.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.core.files.storage import default_storage
from django.utils import timezone

from annotation.models import Image

FOLDER = "images"
KEPT = timedelta(days=7)


def leftovers(older_than: timedelta = KEPT) -> Iterator[str]:
    """Yield the paths of the files that no image points to and that are older than this. One statement per campaign."""
    before = timezone.now() - older_than
    for campaign in _folders(FOLDER):
        folder = f"{FOLDER}/{campaign}"
        # The files first: one whose row is written after that is found to have it.
        names = _files(folder)
        used = _used(folder)
        for path in (f"{folder}/{name}" for name in names):
            if path not in used and _is_older(path, before):
                yield path


def delete_leftovers(older_than: timedelta = KEPT) -> int:
    """Delete what `leftovers` yields and return how many files that were. Safe to run at once with itself."""
    deleted = 0
    for path in leftovers(older_than):
        default_storage.delete(path)
        deleted += 1
    return deleted


def _used(folder: str) -> set[str]:
    pairs = Image.objects.filter(file__startswith=f"{folder}/").values_list("file", "thumbnail")
    return {path for pair in pairs.iterator() for path in pair}


def _is_older(path: str, before: datetime) -> bool:
    try:
        return default_storage.get_modified_time(path) < before
    except FileNotFoundError:
        return False  # another process was faster


def _folders(path: str) -> list[str]:
    return _listed(path)[0]


def _files(path: str) -> list[str]:
    return _listed(path)[1]


def _listed(path: str) -> tuple[list[str], list[str]]:
    """Return the folders and the files in a folder of the storage; none where there is no such folder."""
    try:
        return default_storage.listdir(path)
    except FileNotFoundError:
        return [], []
