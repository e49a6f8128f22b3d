"""What a gate's verdict rests on, gathered for somebody who has to be able to check it without this system."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from annotation.models import Event, Task
from training.models import GateReport, Round, Run
from training.services import gates, versions


@dataclass(frozen=True)
class Pair:
    """One blind pair that people compared: the candidate's share of what they said of it, a tie counts one half."""

    external_id: str
    messages: list[dict[str, Any]]
    judgements: int
    candidate_share: float | None  # None where nobody judged it


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


def evidence(report: GateReport) -> Evidence:
    """Return what this report rests on. Eight SQL statements, and the files of the data sets behind the candidate."""
    round = (
        Round.objects.filter(candidate=report.candidate)
        .select_related("loop__campaign", "policy")
        .order_by("pk")
        .last()
    )
    run = None
    if round is not None:
        run = Run.objects.filter(round=round, kind=Run.Kind.EVALUATE).order_by("pk").last()
    try:
        lineage: dict[str, Any] | None = versions.lineage(report.candidate)
    except OSError:
        lineage = None
    decided = ("promoted", "promoted_over_the_gate", "rolled_back", "rolled_back_over_the_gate")
    actions = ["gate.closed_early", *(f"{report.candidate.kind}.{what}" for what in decided)]
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
    )


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
