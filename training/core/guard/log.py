"""The log of a guard: a line for each verdict, written before anything is done upon it. No text of anybody is in it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from training.core.guard.verdicts import Verdict


class VerdictLog:
    """Appends verdicts to a file of JSON lines. OSError where it cannot be written, and then the guard blocks."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __call__(self, verdict: Verdict) -> None:
        line = json.dumps({"time": round(time.time(), 3), **verdict.as_json()}, ensure_ascii=False, allow_nan=False)
        # One write of a file opened to append: lines of several processes do not mix.
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, line.encode() + b"\n")
        finally:
            os.close(file)
