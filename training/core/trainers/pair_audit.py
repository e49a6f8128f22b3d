"""Which pairs a policy goes against after it has learned from them: often slips of whoever judged, seldom all of them.

The margin of a pair is log π(y|x) - log π_ref(y|x) of the chosen answer minus that of the rejected one, DPO's implied
reward in units of β (arXiv:2305.18290, section 4). Without a reference there is none: likelihood alone goes by length.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from training.core import distributed
from training.core.job import Job
from training.core.trainers.learner import MARGIN, Learner
from training.recipes.spec import write_text

FILE = "pair_audit.jsonl"
MOST = 10_000  # of more an even selection is asked again: a whole pass over large data would cost a third of an epoch
KEPT = ("feedback", "task")  # columns of the data that lead back to the judgement and its item


def audit(job: Job, learner: Learner, rows: Sequence[int]) -> dict[str, int]:
    """Write each pair's margin, the most negative first, and return how many there are and how many are negative."""
    count = min(len(rows), MOST)
    some = [rows[place * len(rows) // count] for place in range(count)]
    learner.measure(some)
    margins = learner.by_row[MARGIN].tolist()
    found = sorted((margins[i], learner.examples[i].line) for i in some if math.isfinite(margins[i]))
    if job.is_main:
        known = _columns(job, {line for _, line in found})
        lines = [{"line": line, "margin": margin, **known[line]} for margin, line in found]
        write_text(job.folder / FILE, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    distributed.wait(job)
    return {"audited": len(found), "against": sum(margin < 0 for margin, _ in found)}


def _columns(job: Job, wanted: set[int]) -> dict[int, dict[str, object]]:
    """Return what the data says of these lines, counted from 1, besides their texts."""
    assert job.spec.data is not None
    told = {}
    with open(job.spec.data, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if number in wanted:
                row = json.loads(line)
                told[number] = {name: row[name] for name in KEPT if name in row}
    return told
