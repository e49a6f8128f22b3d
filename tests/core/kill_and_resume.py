"""Starts runs again and again, each time killed (SIGKILL) at a chosen point, and lets the last one of each finish.

Called as ``python kill_and_resume.py spec.json point:count … another.json …``: the process of each point kills itself
when it has come there that many times. The points are

- ``step``       a step is done, and nothing of it written
- ``flush``      inside the writing of a checkpoint: after each of its 4 files, before and after its folder's renaming
- ``reference``  the reference's log-probabilities are about to be kept
- ``model``      the model's folder is written and about to get its name
- ``result``     all but the result is written

Processes are forked from one that has imported everything, which is where most of a start's time goes.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import torch

from training.core import run
from training.core.trainers import learner, offline, reference, state
from training.recipes.spec import RunResult

PLACES: dict[str, tuple[Any, str]] = {
    "step": (learner.Learner, "step"),
    "flush": (state, "_flush"),
    "reference": (reference, "save_file"),
    "model": (offline.backbone, "save"),
    "result": (RunResult, "write"),
}
BEFORE = ("reference", "result")


def kill_at(point: str, count: int) -> None:
    """Make this process kill itself at the `count`-th time that `point` is reached."""
    owner, name = PLACES[point]
    original: Callable[..., Any] = getattr(owner, name)
    left = count

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0 and point in BEFORE:
            os.kill(os.getpid(), signal.SIGKILL)
        value = original(*args, **kwargs)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return value

    setattr(owner, name, counted)


def main(*arguments: str) -> None:
    points: dict[str, list[str]] = {}
    for argument in arguments:
        if argument.endswith(".json"):
            points[argument] = []
        else:
            points[[*points][-1]].append(argument)
    for spec_path, of_run in points.items():
        bring_to_its_end(spec_path, *of_run)


def bring_to_its_end(spec_path: str, *points: str) -> None:
    for point in (*points, "none:0"):
        child = os.fork()
        if child == 0:
            torch.set_num_threads(1)
            name, count = point.split(":")
            if name != "none":
                kill_at(name, int(count))
            os._exit(run.main(spec_path))
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if killed != (point != "none:0") or (not killed and os.WEXITSTATUS(status) != 0):
            sys.exit(f"{point}: status {status}")


if __name__ == "__main__":
    main(*sys.argv[1:])
