"""A run as the core's functions see it: its spec, its folder, where progress goes, and whether to stop."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from training.errors import TrainingError
from training.recipes.base import Recipe
from training.recipes.note import Note
from training.recipes.spec import RunSpec


class RunError(TrainingError):
    """The run cannot go on; the message says what to do, in the language of whoever reads it."""

    def __init__(self, message: Note) -> None:
        super().__init__(message)


class Stopped(Exception):
    """The run was asked to stop, and everything needed to resume it is on disk."""


@dataclass
class Job:
    """One run in this process. Functions named by `evaluate` and `sample` parts get it as their first argument."""

    spec: RunSpec
    recipe: Recipe
    knobs: dict[str, Any]  # all of the recipe's, by name
    device: torch.device
    rank: int = 0
    world_size: int = 1
    sharded: bool = False  # whether what is trained is shared out over the processes; see `sharding`
    static_lengths: bool = False  # whether batches are padded to one of a few lengths; see `ladder`
    terminated: bool = field(default=False, init=False)

    @property
    def folder(self) -> Path:
        return Path(self.spec.output)

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def progress(self, *, step: int, total_steps: int, **numbers: Any) -> None:
        """Append one line to ``metrics.jsonl``. Numbers that are not finite are left out, as JSON has none."""
        if not self.is_main:
            return
        line = {"step": step, "total_steps": total_steps, "time": round(time.time(), 3)}
        line |= {k: v for k, v in numbers.items() if not isinstance(v, float) or abs(v) < float("inf")}
        with (self.folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def rewind(self, step: int) -> None:
        """Drop lines of ``metrics.jsonl`` after `step`, and a torn last one: they are about to be written again."""
        path = self.folder / "metrics.jsonl"
        if not self.is_main or not path.exists():
            return
        kept = []
        for line in path.read_text().splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except (json.JSONDecodeError, KeyError, TypeError):
                continue
        part = path.with_name("metrics.jsonl.part")
        part.write_text("".join(line + "\n" for line in kept))
        part.replace(path)

    def listen(self) -> None:
        """From now on SIGTERM asks the run to stop after its step instead of ending it there."""
        signal.signal(signal.SIGTERM, self._terminate)

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self.terminated = True

    def stop_requested(self) -> bool:
        """Return whether the parent asked this process to stop, by file or by signal."""
        return self.terminated or (self.folder / "STOP").exists()


def device_here() -> torch.device:
    """Return the device of this process: its own GPU where there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    return torch.device("cpu")
