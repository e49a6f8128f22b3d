"""A JSON Lines result that grows row by row and survives a crash: what is finished is never done again."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class PartFile:
    """Rows of a result by id, kept in part files until `finish` writes the file itself.

    Each process of a run writes a part of its own and reads those of all. One killed while it writes leaves at most
    one torn line, its last; its successor cuts that off.
    """

    def __init__(self, path: Path, *, rank: int = 0) -> None:
        self.path = path
        own = path.with_name(f"{path.name}.{rank}.part")
        self.rows: dict[str, dict[str, Any]] = {}
        self._read()
        self._file = own.open("ab")
        self._file.truncate(own.read_bytes().rfind(b"\n") + 1)

    def append(self, row: dict[str, Any]) -> None:
        """Add a finished row; it is with the operating system when this returns."""
        self.rows[row["id"]] = row
        self._file.write(_line(row))
        self._file.flush()

    def collect(self, order: Sequence[str]) -> list[dict[str, Any]]:
        """Return the rows of `order`, whichever process made them, when all are done."""
        self._read()
        return [self.rows[key] for key in order]

    def finish(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write `rows` to the file by rename and remove the parts; for one process alone."""
        ready = self.path.with_name(f"{self.path.name}.ready")
        with ready.open("wb") as file:
            file.writelines(map(_line, rows))
            file.flush()
            os.fsync(file.fileno())
        ready.replace(self.path)
        for part in self._parts():
            part.unlink()

    def close(self) -> None:
        """Write no more. The part stays for a later run to go on with, unless `finish` removes it."""
        self._file.close()

    def _parts(self) -> list[Path]:
        return sorted(self.path.parent.glob(f"{self.path.name}.*.part"))

    def _read(self) -> None:
        for part in self._parts():
            data = part.read_bytes()
            for line in data[: data.rfind(b"\n") + 1].splitlines():
                row = json.loads(line)
                self.rows[row["id"]] = row


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"
