"""How a campaign's guard did slice by slice, and what is wrong now: what the page Drift shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from annotation.models import Campaign
from annotation.quality.shares import wilson
from annotation.told import Told, share, told
from training.models import GuardedPrompt, GuardWatch, GuardWeek
from training.services import guard_attention
from training.services.guard_prompts import HUMAN


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
    said = [one for one in (watch.note, guard_attention.unasked(watch.campaign)) if one]
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
