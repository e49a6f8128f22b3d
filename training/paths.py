"""Where files are: rows store short paths, the training core gets absolute ones."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

PACKAGE = Path(__file__).resolve().parent


def files() -> Path:
    """Return the folder that holds snapshots, runs and models."""
    return Path(settings.ATTUNE_FILES)


def run_folder(run_id: int) -> Path:
    """Return the folder of a run, which every attempt of it shares."""
    return files() / "runs" / str(run_id)


def stored(path: Path | str) -> str:
    """Return `path` as rows store it: relative when it lies below the files folder or inside the package."""
    given = Path(path)
    for root in (files(), PACKAGE.parent):
        if given.is_absolute() and given.is_relative_to(root):
            return str(given.relative_to(root))
    return str(path)


def resolve(path: str) -> str:
    """Return the absolute form of a stored path; a name that is no file here is taken as a hub name and kept."""
    if Path(path).is_absolute():
        return path
    for root in (files(), PACKAGE.parent):
        if (root / path).exists():
            return str(root / path)
    return path
