"""Retraining a campaign's guard on what came through it: when it is due, and the run that does it.

The web process and the worker's database side only write the run's data and read what it left; every figure is made in
`training.core.guard.retraining`. A slice is judged by the detector of the slices before it, then learned.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation.models import Campaign, User
from annotation.services import events
from annotation.told import Told, of
from training import paths, store
from training.errors import TrainingError, WrongState
from training.models import GuardedPrompt, GuardWatch, GuardWeek, ModelVersion, Run
from training.recipes.drift import RECIPE, knobs_for
from training.recipes.spec import write_text
from training.services import guard_calibration, guard_inbox, guard_prompts, guards, runs, versions
from training.services.guard_prompts import HUMAN
from training.services.guard_results import take_over

log = logging.getLogger(__name__)
FAILED_SECONDS = 7 * 86_400  # in which a retraining that failed can be tried again


@dataclass(frozen=True)
class Due:
    """Which slices a retraining would judge now."""

    began_at: datetime
    first: int  # the first that no detector has judged; at the beginning 0
    judge: list[int]
    slices: int  # all that are over


def due(watch: GuardWatch) -> Due | None:
    """Return what there is to be judged; None where no slice is over that has prompts and was not judged."""
    kept = GuardedPrompt.objects.filter(campaign=watch.campaign_id)
    began = watch.began_at or kept.values_list("at", flat=True).order_by("at").first()
    if began is None:
        return None
    length = timedelta(days=watch.settings["slice_days"])
    slices = int((timezone.now() - began) / length)
    first = _next(watch)
    begin = max(first, 0 if watch.state else watch.settings["startup_slices"])
    times = kept.filter(at__gte=began + begin * length, at__lt=began + max(begin, slices) * length)
    judge = sorted({int((at - began) / length) for at in times.values_list("at", flat=True)})
    enough = bool(judge) if watch.state else slices >= watch.settings["startup_slices"]
    return Due(began, first, judge, slices) if enough else None


def _next(watch: GuardWatch) -> int:
    last = GuardWeek.objects.filter(campaign=watch.campaign_id).order_by("-index").first()
    return max(0 if last is None else last.index + 1, int(watch.state.get("slices", 0)))


@transaction.atomic
def retrain(*, campaign: Campaign, actor: User | None) -> Run:
    """Return the queued run that judges the slices which are over and trains anew; WrongState says why none is."""
    Campaign.objects.select_for_update().get(pk=campaign.pk)
    watch = GuardWatch.objects.filter(campaign=campaign).select_related("run").first()
    if watch is None:
        raise WrongState(_("This campaign keeps no prompts. Turn that on first."))
    if watch.run is not None and not watch.run.is_final:
        raise WrongState(_("Run {number} retrains the guard already.").format(number=watch.run.pk))
    if watch.run is not None and watch.run.state == Run.State.SUCCEEDED:
        take_over(watch.run)
        watch.refresh_from_db()
    parent = _detector(campaign) if watch.state else None
    base = guards.named(campaign)
    if not base:
        raise WrongState(_("This campaign has no guard. Name one in the settings of its loop."))
    guard_inbox.collect(watch)
    found = due(watch)
    if found is None:
        raise WrongState(_not_yet(watch))
    if lacks := _lacks(watch, found):
        raise WrongState(str(lacks))
    # The detector of before goes on, beside the checks of the guard that the loop names now.
    inputs: dict[str, Any] = {"data": _write(watch, found), "guard": guards.beneath(campaign, base)}
    if parent is None:
        inputs["model"] = base
    policy = versions.current(campaign, ModelVersion.Kind.POLICY)
    if watch.settings["payloads"] and policy is not None:
        inputs |= {"suite": watch.settings["payloads"], "beside": {"policy": policy.path}}
    # The guard was checked when somebody named it, and nobody names what a retraining reads.
    run = runs.create(
        campaign=campaign, recipe=RECIPE, knobs=knobs_for(watch.settings), actor=None, parent=parent, inputs=inputs
    )
    Run.objects.filter(pk=run.pk).update(created_by=actor)
    GuardWatch.objects.filter(pk=watch.pk).update(run=run, began_at=found.began_at, note="")
    events.record(campaign=campaign, actor=actor, action="guard.retrained", target=str(run))
    run.refresh_from_db()
    return run


def _detector(campaign: Campaign) -> ModelVersion | None:
    """Return the detector to go on from: the one in use, else the newest; a guard of another making has none."""
    found = ModelVersion.objects.filter(campaign=campaign, kind=ModelVersion.Kind.GUARD, run__recipe__name=RECIPE)
    return found.filter(state=ModelVersion.State.PROMOTED).first() or found.order_by("-number").first()


def _lacks(watch: GuardWatch, found: Due) -> Told | None:
    return None if watch.state else guard_calibration.of_start(watch, found.began_at).lacks


def _not_yet(watch: GuardWatch) -> str:
    days = watch.settings["slice_days"]
    if watch.state:
        return _("No slice of {days} days with prompts is over since the last retraining.").format(days=days)
    told = _("A detector starts from {n} slices of {days} days, and so much has not been kept yet.")
    return told.format(n=watch.settings["startup_slices"], days=days)


def _write(watch: GuardWatch, found: Due) -> str:
    """Write the run's data and return its stored path: every kept prompt of the slices that are over.

    It is deleted when the run is taken over.
    """
    length = timedelta(days=watch.settings["slice_days"])
    state = {"slices": found.slices, "judge": found.judge, **{k: v for k, v in watch.state.items() if k != "slices"}}
    lines = [json.dumps({"state": state}) + "\n"]
    kept = GuardedPrompt.objects.filter(
        campaign=watch.campaign_id, at__gte=found.began_at, at__lt=found.began_at + found.slices * length
    )
    for one in kept.order_by("at", "pk").iterator(chunk_size=1000):
        lines.append(json.dumps(_row(one, int((one.at - found.began_at) / length)), ensure_ascii=False) + "\n")
    path = paths.files() / "guards" / f"retraining-{watch.campaign_id}" / f"{found.slices}.jsonl"
    write_text(path, "".join(lines))
    path.chmod(0o600)
    return store.keep(path)


def _row(one: GuardedPrompt, place: int) -> dict[str, Any]:
    by_people = one.labelled_by == HUMAN
    return {
        "id": one.digest,
        "slice": place,
        "text": one.text,
        "truth": one.jailbreak if by_people else None,
        "label": one.jailbreak,
        "source": one.labelled_by or None,
    }


def look_after_all() -> None:
    """Delete what is old, take over what has ended, collect verdicts, and retrain where that is due (beat)."""
    for watch in GuardWatch.objects.filter(campaign__deleted_at=None).select_related("campaign", "run"):
        try:
            _look_after(watch)
        except (TrainingError, OSError, ValueError, KeyError) as error:
            log.exception("The guard of campaign %s cannot be looked after.", watch.campaign_id)
            GuardWatch.objects.filter(pk=watch.pk).update(note=of(error) or of(repr(error)))


def _look_after(watch: GuardWatch) -> None:
    guard_prompts.delete_old(watch)
    under_way = watch.run is not None and not watch.run.is_final
    if not under_way:
        guard_prompts.delete_files(watch.campaign_id, older_than=FAILED_SECONDS)
    if watch.run is not None:
        if under_way:
            return
        failed = watch.run.state != Run.State.SUCCEEDED
        take_over(watch.run)
        if failed:
            return
        watch.refresh_from_db()
    guard_inbox.ask(watch)
    guard_inbox.collect(watch)
    # What failed is not tried again by itself every few minutes: a person reads why, and asks for it.
    found = due(watch) if watch.settings["weekly"] and not watch.note else None
    if found is not None and _lacks(watch, found) is None:
        retrain(campaign=watch.campaign, actor=None)
