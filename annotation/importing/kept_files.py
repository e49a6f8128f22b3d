"""Files that are kept for a while: what was uploaded and not yet imported, and what an import refused."""

from __future__ import annotations

from datetime import timedelta

from django.core.files.storage import default_storage
from django.utils import timezone


def names_in(folder: str) -> list[str]:
    """Return the names of the files in a folder of the storage, without the folder."""
    try:
        return default_storage.listdir(folder)[1]
    except FileNotFoundError:
        return []


def expire(folder: str, kept: timedelta) -> int:
    """Delete the files of a folder that are older than `kept`; return how many. Safe to run at once with itself."""
    before = timezone.now() - kept
    deleted = 0
    for name in names_in(folder):
        path = f"{folder}/{name}"
        try:
            if default_storage.get_modified_time(path) < before:
                default_storage.delete(path)
                deleted += 1
        except FileNotFoundError:
            continue  # another process was faster
    return deleted
