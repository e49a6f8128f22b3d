"""What a gate's verdict rests on, gathered for somebody who has to be able to check it without this system."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from annotation.messages import from_columns
from annotation.models import Event, Task
from training import store
from training.errors import TrainingError
from training.models import GateReport, ModelVersion, Round, Run
from training.services import gates, versions
from training.services.sampling import output_rows


@dataclass(frozen=True)
class Pair:
    """One blind pair that people compared: the candidate's share of what they said of it, a tie counts one half."""

    external_id: str
    messages: list[dict[str, Any]]
    judgements: int
    candidate_share: float | None  # None where nobody judged it


@dataclass(frozen=True)
class Item:
    """One held-out prompt of the comparison, and what was measured of the candidate's answers to it."""

    id: str
    messages: list[dict[str, Any]]
    fresh: bool  # whether no earlier gate was decided on it
    kl: float | None
    cost: float | None  # the mean; None without a cost model, or where it could not read an answer
    reward_win_rate: float | None


@dataclass(frozen=True)
class SuiteItem:
    """One item of the suite, and whether either policy did right by it."""

    id: str
    measure: str
    categories: list[str]
    candidate: bool
    current: bool


@dataclass(frozen=True)
class Judge:
    """A model whose scores the report rests on, with what was measured of it when it was made."""

    label: str
    kind: str
    path: str
    metrics: dict[str, Any]


@dataclass(frozen=True)
class Evidence:
    """A report with its lineage, the pairs that people compared, and what was decided on it, oldest first."""

    report: GateReport
    sha256: str  # of the figures: two copies of a report can be told apart
    round: Round | None
    run: Run | None  # that drew and measured the answers
    lineage: dict[str, Any] | None  # None where the file of a data set is gone
    pairs: Sequence[Pair]
    decisions: Sequence[Event]
    judges: Sequence[Judge]
    items: Sequence[Item]
    suite_items: Sequence[SuiteItem]
    answers_sha256: str  # of the file of the comparisons; empty where it is gone

    @property
    def settings(self) -> dict[str, Any]:
        """How the answers were drawn and tested: the knobs of the run."""
        return {} if self.run is None else dict(self.run.recipe.get("knobs", {}))

    @property
    def limits(self) -> dict[str, Any]:
        """The loop's settings of the gate as they stood when it opened; empty where an older gate kept none."""
        return {} if self.run is None else dict(self.run.inputs.get("limits", {}))

    @property
    def proof(self) -> dict[str, Any]:
        """How many prompts and items of the suite there were, and how many were left out as known to a model."""
        return {} if self.run is None else dict(self.run.inputs.get("proof", {}))

    @property
    def guard(self) -> str:
        """Where the guard lies that read prompts and answers; empty where there was none."""
        return "" if self.run is None else str(self.run.inputs.get("guard", ""))


def evidence(report: GateReport) -> Evidence:
    """Return what this report rests on. Nine SQL statements, the files of the data sets behind the candidate, and those
    that the comparison left.
    """
    round = (
        Round.objects.filter(candidate=report.candidate)
        .select_related("loop__campaign", "policy")
        .order_by("pk")
        .last()
    )
    run = None
    if round is not None:
        run = Run.objects.filter(round=round, kind=Run.Kind.EVALUATE).order_by("pk").last()
    rows = [] if run is None else _rows(run, "comparisons")
    try:
        lineage: dict[str, Any] | None = versions.lineage(report.candidate)
    except OSError:
        lineage = None
    decided = ("promoted", "promoted_over_the_gate", "rolled_back", "rolled_back_over_the_gate")
    actions = [
        "gate.ordered",
        "gate.stale",
        "gate.closed_early",
        *(f"{report.candidate.kind}.{what}" for what in decided),
    ]
    decisions = Event.objects.filter(
        campaign=report.candidate.campaign_id, action__in=actions, target=report.candidate.label
    ).select_related("actor")
    return Evidence(
        report=report,
        sha256=hashlib.sha256(json.dumps(report.figures, sort_keys=True).encode()).hexdigest(),
        round=round,
        run=run,
        lineage=lineage,
        pairs=[] if round is None else _pairs(round),
        decisions=list(decisions.order_by("pk")),
        judges=[] if run is None else _judges(run),
        items=[_item(row) for row in rows],
        suite_items=[] if run is None else [_suite_item(row) for row in _rows(run, "suite")],
        answers_sha256="" if run is None or not rows else _sha256(run),
    )


def _judges(run: Run) -> list[Judge]:
    """Return the models that scored, in the order of their labels; one of no version here by its folder alone."""
    found = []
    for name, path in sorted(run.inputs.get("scorers", {}).items()):
        version = ModelVersion.objects.filter(campaign=run.campaign_id, kind=name, path=path).order_by("pk").last()
        label = path if version is None else version.label
        found.append(Judge(label, name, path, {} if version is None else version.metrics))
    return found


def _rows(run: Run, name: str) -> list[dict[str, Any]]:
    """Return the rows of a file that the run left; none where it left none, or it was cleared from the disk."""
    try:
        return list(output_rows(run, name))
    except (OSError, TrainingError):
        return []


def _sha256(run: Run) -> str:
    path = store.run_file(run.pk, run.result["files"]["comparisons"])
    return "" if path is None else hashlib.sha256(path.read_bytes()).hexdigest()


def _item(row: dict[str, Any]) -> Item:
    return Item(
        id=str(row["id"]),
        messages=from_columns(row),
        fresh=bool(row.get("fresh", True)),
        kl=row.get("kl"),
        cost=fmean(costs) if (costs := row.get("candidate_costs")) else None,
        reward_win_rate=row.get("reward_win_rate"),
    )


def _suite_item(row: dict[str, Any]) -> SuiteItem:
    named = row.get("category") or []
    categories = [named] if isinstance(named, str) else [str(one) for one in named]
    return SuiteItem(str(row["id"]), str(row["measure"]), categories, bool(row["candidate"]), bool(row["current"]))


def _pairs(round: Round) -> list[Pair]:
    tasks = Task.objects.filter(campaign_id=round.loop.campaign_id, batch=gates.batch(round)).order_by("pk")
    shares = gates.shares_of_candidate(round)
    return [
        Pair(
            external_id=task.external_id,
            messages=task.content["messages"],
            judgements=len(said := shares.get(task.pk, [])),
            candidate_share=sum(said) / len(said) if said else None,
        )
        for task in tasks
    ]
