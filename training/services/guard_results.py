"""What a retraining of a guard left: its slices, what it said of each prompt, and whom to ask about which."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import transaction

from annotation.told import Told, of, told
from training import store
from training.models import GuardedPrompt, GuardWatch, GuardWeek, Run
from training.services import guard_inbox, guard_prompts, promotion
from training.services.guard_prompts import HUMAN


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
        one.reason = _reason(watch, one, said, chosen) or one.reason  # a person may be wanted for it already
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
