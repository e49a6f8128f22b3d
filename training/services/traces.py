"""What a run leaves behind while it works: its metrics and its log, read at a cost that does not grow with them."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

from annotation.told import told
from training import store
from training.errors import WrongState
from training.models import Run
from training.services.sampling import output_rows

# Up to this size the metrics are read whole; above it, so many lines are picked at even distances.
WHOLE_BYTES = 400_000
PICKED_LINES = 400
LOG_BYTES = 20_000
# Names of files of answers, by what wrote them: one policy, or two.
ANSWERS = ("samples", "comparisons")
PAIR_AUDIT = "pair_audit"


def metrics(run: Run) -> list[dict[str, Any]]:
    """Return the lines of the run's ``metrics.jsonl``, oldest first: all of a short run, an even choice of a long one.

    A torn or foreign line is left out.
    """
    path = store.run_file(run.pk, "metrics.jsonl")
    try:
        size = path.stat().st_size
        lines = path.read_bytes().splitlines() if size <= WHOLE_BYTES else _picked(path, size)
    except FileNotFoundError:
        return []
    found = [row for line in lines if (row := _parsed(line)) is not None]
    return sorted(found, key=lambda row: row["step"])


def log_tail(run: Run, *, limit: int = LOG_BYTES) -> str:
    """Return the end of the run's ``log.txt``, from the start of a line; the empty string before there is one."""
    path = store.run_file(run.pk, "log.txt")
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    if size > limit:
        text = text.partition("\n")[2]
    # A progress bar overwrites its line; only what was written last is of interest.
    return "\n".join(line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n"))


def answers(run: Run, *, offset: int, limit: int) -> list[dict[str, Any]]:
    """Return rows of the file of answers that a run of sampling or comparing left, in the order of its prompts.

    WrongState for a run that left none.
    """
    name = next((one for one in ANSWERS if one in run.result.get("files", {})), None)
    if name is None:
        why = told("{run} left no answers: only runs that sample or compare do, once they have finished.", run=run.told)
        raise WrongState(why)
    return list(itertools.islice(output_rows(run, name), offset, offset + limit))


def audited_pairs(run: Run, *, offset: int, limit: int) -> list[dict[str, Any]]:
    """Return the pairs that a policy learned from with their margins after training, the most negative first.

    WrongState for a run that asked none again.
    """
    if PAIR_AUDIT not in run.result.get("files", {}):
        why = told(
            "{run} has no margins of pairs: only policies that learn from pairs against a reference do, as by DPO, "
            "once they have finished.",
            run=run.told,
        )
        raise WrongState(why)
    return list(itertools.islice(output_rows(run, PAIR_AUDIT), offset, offset + limit))


def _picked(path: Path, size: int) -> list[bytes]:
    """Return lines at even distances, the last complete one among them; a line may be picked once only."""
    picked: list[bytes] = []
    at = -1
    with path.open("rb") as file:
        for number in range(PICKED_LINES):
            file.seek(size * number // PICKED_LINES)
            if number:
                file.readline()  # the rest of the line in the middle of which this fell
            if file.tell() <= at:
                continue
            at = file.tell()
            picked.append(file.readline())
        file.seek(max(0, size - 8000))
        tail = file.read().split(b"\n")
    if len(tail) > 2 and tail[-2] not in picked[-1:]:
        picked.append(tail[-2])
    return picked


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), (int, float)) else None
