"""Retraining a campaign's guard on what came through it: when it is due, the run that does it, and what it left.

The web process and the worker's database side only write the run's data and read what it left; every figure is made in
`training.core.guard.retraining`. A slice is judged by the detector of the slices before it, then learned.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation.models import Campaign, User
from annotation.quality.shares import wilson
from annotation.services import events
from annotation.storable import unstorable
from annotation.told import Told, of, share, told
from training import objections, paths, store
from training.errors import Invalid, TrainingError, WrongState
from training.models import GuardedPrompt, GuardWatch, GuardWeek, ModelVersion, Run
from training.recipes.base import RecipeError
from training.recipes.drift import RECIPE, knobs_for, watch_settings
from training.recipes.spec import write_text
from training.services import guard_inbox, guard_prompts, guards, promotion, runs, versions

log = logging.getLogger(__name__)

HUMAN = "human"
FAILED_SECONDS = 7 * 86_400  # in which a retraining that failed can be tried again


def settings_of(campaign: Campaign) -> dict[str, Any]:
    """Return the settings of a campaign's watch; the usual ones, by which nothing is kept, where it has none."""
    watch = GuardWatch.objects.filter(campaign=campaign).first()
    return watch_settings(watch.settings if watch else {})


@transaction.atomic
def configure(*, campaign: Campaign, settings: dict[str, Any], actor: User | None) -> GuardWatch:
    """Return the watch with `settings` changed; Invalid says what does not fit. What was kept stays till it is old."""
    watch, _is_new = GuardWatch.objects.get_or_create(campaign=campaign)
    try:
        values = watch_settings({**watch.settings, **settings})
    except RecipeError as error:
        raise objections.invalid(error) from None
    before = watch_settings(watch.settings)
    if values["inbox"] != before["inbox"]:
        guard_inbox.refuse(values["inbox"], actor)
    if values["payloads"] != before["payloads"]:
        _refuse_payloads(values["payloads"], actor)
    if watch.state and values["slice_days"] != before["slice_days"]:
        message = _("Slices have been judged already, so their length stays as it is.")
        raise Invalid(message, {"slice_days": [message]})
    watch.settings = values
    watch.save(update_fields=["settings"])
    changes = events.changed(before, values)
    events.record(campaign=campaign, actor=actor, action="guard.configured", target="guard", changes=changes)
    return watch


def _refuse_payloads(path: str, actor: User | None) -> None:
    message = unstorable(path)
    if path and not message and actor is not None:
        message = paths.objection(path, _("requests"))
    if path and not message and not store.exists(path):
        message = _("There is no file {path}.").format(path=path)
    if message:
        raise Invalid(message, {"payloads": [message]})


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
    parent = versions.current(campaign, ModelVersion.Kind.GUARD) or _newest(campaign) if watch.state else None
    base = guards.named(campaign)
    if not base:
        raise WrongState(_("This campaign has no guard. Name one in the settings of its loop."))
    guard_inbox.collect(watch)
    found = due(watch)
    if found is None:
        raise WrongState(_not_yet(watch))
    # The detector of before goes on, beside the checks of the guard that the loop names now.
    inputs: dict[str, Any] = {"data": _write(watch, found), "guard": base}
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


def _newest(campaign: Campaign) -> ModelVersion | None:
    return ModelVersion.objects.filter(campaign=campaign, kind=ModelVersion.Kind.GUARD).order_by("-number").first()


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


@transaction.atomic
def take_over(run: Run) -> None:
    """Write down what a finished retraining found, ask people, and put the detector into use; done once."""
    watch = GuardWatch.objects.select_for_update().select_related("campaign").filter(run=run).first()
    if watch is None:
        return
    run.refresh_from_db()
    if not run.is_final:
        return
    if run.state == Run.State.SUCCEEDED:
        _take_figures(watch, run)
        if run.output is not None and watch.settings["serve"]:
            promotion.promote(version=run.output, actor=None)
        GuardWatch.objects.filter(pk=watch.pk).update(run=None, note="")
        # Also should this be rolled back: what is taken over then lies in the run's own folder.
        guard_prompts.delete_files(watch.campaign_id)
        return
    # It may be tried again by hand, and is taken over then.
    note = told("{run} was cancelled, so the guard is as it was.", run=run.told)
    if run.state == Run.State.FAILED:
        note = told("{run} failed, so the guard is as it was: {error}", run=run.told, error=of(run.error))
    GuardWatch.objects.filter(pk=watch.pk).update(note=note)


def _take_figures(watch: GuardWatch, run: Run) -> None:
    left = json.loads(store.run_file(run.pk, run.result["files"]["weeks"]).read_text())
    assert watch.began_at is not None
    length = timedelta(days=watch.settings["slice_days"])
    before = run.parent if len(left["weeks"]) == 1 else None
    weeks = [
        GuardWeek(
            campaign=watch.campaign,
            index=one["slice"],
            begins_at=watch.began_at + one["slice"] * length,
            ends_at=watch.began_at + (one["slice"] + 1) * length,
            run=run,
            detector=before,
            trained_through=one["detector"],
            threshold=one["line"]["value"],
            prompts=one["items"],
            positives=one["positives"],
            flagged=one["flagged"],
            labels=one["labels"],
            alarm=of(one["alarm"]) if one["alarm"] else Told(),
        )
        for one in left["weeks"]
    ]
    GuardWeek.objects.bulk_create(weeks, ignore_conflicts=True)
    judged = max([one["slice"] for one in left["weeks"]], default=watch.settings["startup_slices"] - 1)
    GuardWatch.objects.filter(pk=watch.pk).update(state={**left["state"], "slices": judged + 1})
    with store.run_file(run.pk, run.result["files"]["scored"]).open(encoding="utf-8") as file:
        scored = [json.loads(line) for line in file]
    _take_scores(watch, run, scored)


def _take_scores(watch: GuardWatch, run: Run, scored: list[dict[str, Any]]) -> None:
    """Write what the detector said onto the prompts that are still there, and have people asked about some."""
    by_digest = {one["id"]: one for one in scored}
    chosen = _drawn(scored, most=watch.settings["audit_prompts"], seed=run.pk)
    changed = []
    rows = GuardedPrompt.objects.filter(campaign=watch.campaign_id, confidence=None)
    for one in rows.iterator(chunk_size=1000):
        said = by_digest.get(one.digest)
        if said is None:
            continue
        one.confidence, one.flagged = said["confidence"], said["flagged"]
        label = said["label"]
        if one.labelled_by != HUMAN and label is not None and label["source"] != HUMAN:
            one.jailbreak, one.labelled_by = label["jailbreak"], label["source"]
        one.reason = _reason(watch, one, said, chosen)
        changed.append(one)
    GuardedPrompt.objects.bulk_update(
        changed, ["confidence", "flagged", "jailbreak", "labelled_by", "reason"], batch_size=500
    )
    guard_inbox.ask(watch)


def _drawn(scored: Iterable[dict[str, Any]], *, most: int, seed: int) -> set[str]:
    """Return the ids of prompts of each slice that are drawn at random, so that errors can be measured on them."""
    of_slice: dict[int, list[str]] = {}
    for one in scored:
        of_slice.setdefault(one["slice"], []).append(one["id"])
    return {
        name
        for place, names in of_slice.items()
        for name in random.Random(f"{seed} {place}").sample(sorted(names), min(most, len(names)))
    }


def _reason(watch: GuardWatch, one: GuardedPrompt, said: dict[str, Any], chosen: set[str]) -> str:
    if one.digest in chosen:
        return GuardedPrompt.Reason.RANDOM
    if one.labelled_by == HUMAN:
        return ""
    if said["share"] is not None:
        return GuardedPrompt.Reason.MONITOR
    if said["asked"]:
        everything = watch.settings["labels"] == HUMAN
        return GuardedPrompt.Reason.ALL if everything else GuardedPrompt.Reason.UNCERTAIN
    return ""


# --- What a beat does --------------------------------------------------------------------------------------------


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
    guard_inbox.collect(watch)
    # What failed is not tried again by itself every few minutes: a person reads why, and asks for it.
    if watch.settings["weekly"] and not watch.note and due(watch) is not None:
        retrain(campaign=watch.campaign, actor=None)


# --- What a page shows -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """A slice with what people's labels say of it now. Errors are of prompts drawn at random, or labelled from outside.

    `misses` is the share of jailbreaks that were not flagged, `false_alarms` that of other prompts that were.
    """

    week: GuardWeek
    misses: dict[str, Any] | None
    false_alarms: dict[str, Any] | None


def shown(campaign: Campaign) -> list[Shown]:
    """Return the slices, the newest first. Three statements."""
    weeks = list(GuardWeek.objects.filter(campaign=campaign).select_related("detector", "run").order_by("-index"))
    if not weeks:
        return []
    counts: dict[int, dict[tuple[bool, bool], int]] = {week.index: {} for week in weeks}
    measured = GuardedPrompt.objects.filter(campaign=campaign, labelled_by=HUMAN, flagged__isnull=False)
    measured = measured.filter(reason=GuardedPrompt.Reason.RANDOM) | measured.filter(
        reason="", source=GuardedPrompt.Source.IMPORT
    )
    begins, length = weeks[-1].begins_at, weeks[-1].ends_at - weeks[-1].begins_at
    for at, bad, flagged in measured.values_list("at", "jailbreak", "flagged"):
        place = weeks[-1].index + int((at - begins) / length)
        if place in counts:
            key = (bool(bad), bool(flagged))
            counts[place][key] = counts[place].get(key, 0) + 1
    return [
        Shown(week, _share(counts[week.index], bad=True, flagged=False), _share(counts[week.index], bad=False))
        for week in weeks
    ]


def _share(counts: dict[tuple[bool, bool], int], *, bad: bool, flagged: bool = True) -> dict[str, Any] | None:
    n = counts.get((bad, True), 0) + counts.get((bad, False), 0)
    if not n:
        return None
    hits = counts.get((bad, flagged), 0)
    low, high = wilson(hits, n)
    return {"estimate": hits / n, "low": low, "high": high, "n": n}


def alarms(watch: GuardWatch | None, weeks: list[Shown]) -> list[Told]:
    """Return what is wrong now, in sentences that say what to do."""
    if watch is None:
        return []
    said = [watch.note] if watch.note else []
    if not weeks:
        return said
    last = weeks[0]
    if last.week.alarm:
        said.append(
            last.week.alarm
            + told("Look at what the monitor found and have people label this slice; the detector stays until then.")
        )
    target = watch.settings["target_fpr"]
    for one in weeks[:1]:
        if one.false_alarms is not None and one.false_alarms["low"] > target:
            said.append(
                told(
                    "In slice {n} {rate} of benign prompts were flagged, with 95 per cent certainty more than the "
                    "{target} that are allowed. Have more benign prompts labelled.",
                    n=one.week.index,
                    rate=_percent(one.false_alarms["estimate"]),
                    target=_percent(target),
                )
            )
    measured = [one for one in weeks if one.misses is not None]
    if len(measured) > 1 and measured[0] is last:
        now, before = measured[0].misses, measured[1].misses
        assert now is not None and before is not None
        if now["low"] > before["high"]:
            said.append(
                told(
                    "The detector missed {now} of the jailbreaks of slice {n}, and {before} of those before: attacks "
                    "have changed. Have people label more of this slice.",
                    n=last.week.index,
                    now=_percent(now["estimate"]),
                    before=_percent(before["estimate"]),
                )
            )
    return said


def _percent(value: float) -> Told:
    return share(value, places=1)
