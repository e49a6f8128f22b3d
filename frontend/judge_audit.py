"""What an audit of a judge says on its model's page: alarms in words, and the items on which it differs from people."""

from __future__ import annotations

import json
from dataclasses import dataclass

from annotation.models import Task
from annotation.told import Told
from frontend import noted
from training import store
from training.models import Run
from training.recipes.audits import AUDITS

SHOWN = 20


@dataclass(frozen=True)
class Disagreement:
    """One answer that the judge and people see differently, and the item it stands in where that is still there."""

    task: int | None
    prompt: str
    completion: str
    principle: str
    stopped: bool
    people: int


def alarms_of(run: Run) -> list[Told]:
    """Return why the judge is not to be trusted, as the audit said it; none where it may be."""
    return noted.notes_of(run) if run.recipe.get("name") in AUDITS else []


def disagreements_of(run: Run) -> list[Disagreement]:
    """Return the first answers on which people and the judge differ, those that it let pass first. One statement."""
    if run.recipe.get("name") not in AUDITS or not (run.result or {}).get("files", {}).get("disagreements"):
        return []
    try:
        told = json.loads(store.run_file(run.pk, run.result["files"]["disagreements"]).read_text(encoding="utf-8"))
    except FileNotFoundError:  # somebody cleared a disk: the figures are in the row
        return []
    shown = told["shown"][:SHOWN]
    items = Task.objects.filter(campaign=run.campaign_id, external_id__in=[one["task"] for one in shown])
    there = dict(items.values_list("external_id", "pk"))
    return [
        Disagreement(
            there.get(one["task"]), one["prompt"], one["completion"], one["principle"], one["stopped"], one["people"]
        )
        for one in shown
    ]
