"""How often a reward model agrees with people on pairs that came after it, which tells whether it still holds.

A pair is fresh when it was judged after the model was made, and its prompt is in no data set that the model or what it
was trained from has learned from. The pairs are frozen as a snapshot and measured by a run, so the figure has its
lineage like everything else: which rows, which model, when. The web process only reads what the run left.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from annotation.feedback import kind
from annotation.models import Campaign, Feedback
from training import store
from training.models import ModelVersion, Run, Snapshot
from training.services import runs, snapshots

RECIPE = "reward-accuracy"
LEAST = 50  # judgements since the model was made, or since it was measured last


@dataclass(frozen=True)
class Fresh:
    """What one measurement of a reward model on fresh pairs said."""

    version: ModelVersion
    run: Run
    snapshot: Snapshot
    measured_at: datetime | None
    metrics: dict[str, Any]


def measure_all() -> int:
    """Queue a run for each reward model in use that people judged enough pairs after; return how many."""
    return sum(measure(version) is not None for version in _in_use())


def measure(version: ModelVersion) -> Run | None:
    """Queue the measurement of one model; None where nothing new is to be learned, or one is under way."""
    campaign = version.campaign
    if "pairs" not in kind(campaign.kind).views or not _can_be_told(version):
        return None
    before = _runs(campaign).filter(parent=version).order_by("-pk").first()
    if before is not None and not before.is_final:
        return None
    since = version.created_at if before is None else before.created_at
    people = Feedback.objects.current().filter(campaign=campaign, user__is_simulated=False, is_review=False)
    if people.filter(created_at__gte=since)[:LEAST].count() < LEAST:
        return None
    filters = {"since": version.created_at.isoformat(), "include_simulated": False, "unseen_by": version.pk}
    snapshot = snapshots.freeze(campaign=campaign, view="pairs", filters=filters, actor=None)
    if not snapshot.rows:
        return None
    return runs.create(campaign=campaign, recipe=RECIPE, knobs={}, actor=None, parent=version, snapshot=snapshot)


def of_campaign(campaign: Campaign) -> list[Fresh]:
    """Return what was measured, the newest first. One SQL statement."""
    found = _runs(campaign).filter(state=Run.State.SUCCEEDED).select_related("parent", "snapshot").order_by("-pk")
    return [
        Fresh(run.parent, run, run.snapshot, run.finished_at, run.result.get("metrics", {}))
        for run in found[:50]
        if run.parent is not None and run.snapshot is not None
    ]


def _runs(campaign: Campaign) -> Any:
    return Run.objects.filter(
        campaign=campaign, recipe__name=RECIPE, parent__isnull=False, snapshot__filters__has_key="unseen_by"
    )


def _in_use() -> list[ModelVersion]:
    """Return of each campaign the reward model in use, or the newest one where none was promoted."""
    chosen: dict[int, ModelVersion] = {}
    rewards = ModelVersion.objects.filter(kind=ModelVersion.Kind.REWARD).exclude(state=ModelVersion.State.REJECTED)
    for version in rewards.select_related("campaign", "snapshot").order_by("number"):
        known = chosen.get(version.campaign_id)
        if known is None or known.state != ModelVersion.State.PROMOTED:
            chosen[version.campaign_id] = version
    return list(chosen.values())


def _can_be_told(version: ModelVersion) -> bool:
    """Return whether it is known what the model learned from, and the files are there to be read."""
    several = snapshots.learned_from(version)
    given = [run.inputs["data"] for run in snapshots.runs_without_snapshot(version)]
    return bool(several) and all(store.exists(path) for path in [*(one.path for one in several), *given])
