"""The notes of a run in the reader's language."""

from __future__ import annotations

from annotation.told import Told, of
from training.models import Run


def notes_of(run: Run) -> list[Told]:
    """Return what a finished run has to say; what an older version stored is shown in English, as it was written."""
    result = run.result or {}
    return [of(note) for note in result.get("told") or result.get("notes") or ()]
