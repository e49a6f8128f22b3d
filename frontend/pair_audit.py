"""The pairs that a policy goes against most after it has learned from them, for its run's page and as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from annotation.access import Action
from annotation.models import Task, User
from annotation.permissions import may
from frontend.figures import number
from frontend.views.work import excerpt
from training import store
from training.models import Run
from training.services import traces

SHOWN = 20
EVERY = 10**9


@dataclass(frozen=True)
class Against:
    """A pair that was learned from and whose rejected answer the policy still prefers."""

    line: int
    margin: str
    asked: str
    task: Task | None


@dataclass(frozen=True)
class PairAudit:
    rows: list[Against]
    pairs: int
    against: int
    opens: bool  # whether the viewer may open the items


def of_run(run: Run, viewer: User) -> PairAudit | None:
    """Return the pairs with the most negative margins; None of a run without any (two queries else)."""
    if not _is_there(run):
        return None
    found = [row for row in traces.audited_pairs(run, offset=0, limit=SHOWN) if row["margin"] < 0]
    names = {row["task"] for row in found if "task" in row}
    tasks = {one.external_id: one for one in Task.objects.filter(campaign=run.campaign_id, external_id__in=names)}
    rows = []
    for row in found:
        task = tasks.get(row.get("task", ""))
        asked = "" if task is None else excerpt(task.content["messages"]) or task.external_id
        rows.append(Against(row["line"], number(row["margin"]), asked, task))
    counts = run.result.get("counts", {})
    opens = may(viewer, run.campaign, Action.REVIEW)
    return PairAudit(rows, counts.get("audited", 0), counts.get("against", 0), opens)


def rows_of(run: Run) -> Iterator[list[Any]]:
    """Yield every pair, the most negative first; the header before them."""
    columns = ["line", "margin", "feedback", "task"]
    yield columns
    if _is_there(run):
        for row in traces.audited_pairs(run, offset=0, limit=EVERY):
            yield [row.get(name, "") for name in columns]


def _is_there(run: Run) -> bool:
    """Return whether the run has such a file that is still there: somebody may have cleared a disk."""
    name = (run.result or {}).get("files", {}).get(traces.PAIR_AUDIT)
    return name is not None and store.run_file(run.pk, name).exists()
