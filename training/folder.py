"""A run's folder as the Django side reads it: metrics as they come, checkpoints, last words. See `recipes.spec`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from annotation.told import Told, of


class Tail:
    """Reads the JSON lines that were added to a file since the last time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = path.stat().st_size if path.exists() else 0

    def read(self) -> list[dict[str, Any]]:
        """Return the whole lines added; a half-written last line waits for the next call."""
        if not self.path.exists():
            return []
        size = self.path.stat().st_size
        if size < self.offset:
            self.offset = 0  # the child went back to its checkpoint and cut the file
        with self.path.open("rb") as file:
            file.seek(self.offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self.offset += len(whole)
        found = []
        for line in whole.splitlines():
            try:
                value = json.loads(line)
            except ValueError:
                continue  # cut off by a crash in the middle of a line
            if isinstance(value, dict):
                found.append(value)
        return found


def has_new_checkpoint(folder: Path) -> bool:
    """Return whether the attempt that wrote ``spec.json`` has written a checkpoint since."""
    spec = folder / "spec.json"
    if not spec.exists():
        return False
    began = spec.stat().st_mtime
    return any(path.stat().st_mtime > began for path in (folder / "checkpoints").rglob("*") if path.is_file())


def last_words(folder: Path, *, lines: int = 12) -> Told | str:
    """Return the child's own explanation from ``error.json``, else the last lines of its log, else an empty string."""
    error = folder / "error.json"
    if error.exists():
        try:
            said = json.loads(error.read_text())
            return of(said) if "told" in said else str(said["message"])
        except (ValueError, KeyError, TypeError):
            pass  # cut off by a crash: the log says more
    log = folder / "log.txt"
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 8192))
        tail = file.read().decode(errors="replace").strip().splitlines()
    return "\n".join(tail[-lines:])
