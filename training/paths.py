"""Where files are: rows store short paths, the training core gets absolute ones."""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

PACKAGE = Path(__file__).resolve().parent
LONGEST_NAME = 255  # bytes of one name in a path, on every file system that is in use


def files() -> Path:
    """Return the folder that holds snapshots, runs and models."""
    return Path(settings.ATTUNE_FILES)


def shared_folders() -> list[Path]:
    """Return the folders out of which people may name models and prompts; what is elsewhere is the operator's."""
    given = [Path(folder) for folder in settings.ATTUNE_SHARED_FOLDERS]
    return [PACKAGE / "demo", files() / "models", files() / "prompts", *given]


def may_be_named(path: str) -> bool:
    """Return whether people who only have a browser or a token may name `path`: a hub name, or in a shared folder."""
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in Path(path).parts):
        return False
    absolute = Path(resolve(path)).expanduser()
    if not absolute.is_absolute():
        return not path.startswith((".", "~")) and ".." not in absolute.parts
    # Links are followed: one inside a shared folder must not lead out of it.
    return any(absolute.resolve().is_relative_to(folder.resolve()) for folder in shared_folders())


def objection(path: str, what: str) -> str:
    """Return why somebody may not take `what` (models, prompts) from `path`, and what to do; empty when they may."""
    if may_be_named(path):
        return ""
    folders = ", ".join(map(str, shared_folders()))
    told = _(
        "{path} is not in a folder that {what} are taken from. Put it into one of these, or have whoever runs the "
        "server add its folder to SHARED_FOLDERS: {folders}."
    )
    return told.format(path=path, what=what, folders=folders)


def run_folder(run_id: int) -> Path:
    """Return the folder of a run, which every attempt of it shares."""
    return files() / "runs" / str(run_id)


def reference_cache() -> Path:
    """Return the folder of log-probabilities under frozen references, which runs share.

    It is this machine's own and is not put into a bucket: whoever misses a number computes it.
    """
    return files() / "reference"


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
        if os.path.exists(root / path):  # a name too long for any file is none; Path.exists raises
            return str(root / path)
    return path
