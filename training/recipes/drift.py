"""Retraining a guard's detector of jailbreaks slice by slice, and the settings of a campaign that has it done."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass
from typing import Any

from training.recipes.base import Recipe, RecipeError, fill, knob, knobs_of, part
from training.recipes.note import Note

LABELS = ("self", "human", "uncertain")  # who labels a slice before it is learned
RECIPE = "guard-retraining"
_WHO = "who labels a slice: the detector itself, people (human), or people what it is least sure of (uncertain)"
# 0.01 where the paper has 0.001: that takes 1,000 benign prompts that the detector does not learn from, which are one
# in ten, so people would have to label 10,000 before it starts, and 30,000 to show the rate. Campaigns label hundreds.
_FPR = "share of benign prompts that may be flagged; 0.001 takes 1,000 that the detector did not learn from"
CERTAINTY = 0.95


@dataclass(frozen=True)
class Slices:
    """How a detector goes on from slice to slice."""

    startup_slices: int = knob(4, "slices that people have labelled, to start from", low=1, high=520)
    labels: str = knob("self", _WHO, choices=LABELS)
    uncertain_share: float = knob(
        0.05, "share of a slice that people are asked about, where it is unsure", low=0.001, high=1.0
    )
    window_slices: int = knob(0, "slices that are learned from; 0 forgets none", low=0, high=520)
    target_fpr: float = knob(0.01, _FPR, low=0.0001, high=0.5)
    monitor_prompts: int = knob(
        200, "prompts of a slice that the monitor puts to the policy at most", low=1, high=100_000
    )
    monitor_share: float = knob(
        0.6, "share of known requests that a template gets answered harmfully to be a jailbreak", low=0.01, high=1.0
    )


@part("trainer", "guard-retraining", target="training.core.guard.retraining:run_retraining")
class GuardRetraining(Slices):
    """Trained from nothing on what came through the guard, on its own labels or people's. arXiv:2504.19440."""

    may_stand_beside = ("policy",)


def held_out(name: str) -> bool:
    """Return whether no detector trains on the prompt of this id: one in ten, the same in each slice."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % 10 == 0


def benign_needed(rate: float) -> int:
    """Return how many benign prompts that are not learned from a line for this rate of false positives takes."""
    return math.ceil(1 / rate - 1e-9)


def benign_certain(rate: float) -> int:
    """Return how many it takes, none of them flagged, to show the rate: (1 - rate)ⁿ ≤ 0.05."""
    return math.ceil(math.log(1 - CERTAINTY) / math.log(1 - rate))


GUARD_RETRAINING = Recipe(
    RECIPE,
    title="Retrain the guard",
    summary="Holds the detector of jailbreaks to the newest prompts, then trains it anew on them; started by Drift.",
    kind="fit",
    view="prompts",
    makes="guard",
    parts=(GuardRetraining(),),
    source="arXiv:2504.19440",
)


@part("watch", "weekly", target="training.services.guard_retraining:retrain")
class WatchSettings(Slices):
    """What is kept of what a guard reads, and how its detector is retrained. arXiv:2504.19440."""

    keep: bool = knob(False, "keep what people write to a policy behind the guard, to learn from")
    keep_days: int = knob(180, "days after which a kept prompt is deleted", low=1, high=3650)
    keep_most: int = knob(
        50_000, "prompts that are kept at most; of more the oldest are deleted", low=100, high=10_000_000
    )
    weekly: bool = knob(False, "retrain by itself as soon as a slice is over")
    serve: bool = knob(True, "put a detector into use as soon as it is trained; else a lead does so under Models")
    slice_days: int = knob(7, "days of a slice", low=1, high=366)
    audit_prompts: int = knob(
        50, "prompts of each slice, drawn at random, that people label: errors are measured on them", low=0, high=10_000
    )
    payloads: str = knob(
        "", "file of known harmful requests, one a line, that the monitor tries; no monitor where it is empty"
    )
    inbox: int = knob(
        0, "number of the campaign whose people label prompts, one that judges safety; 0 is none", low=0, high=2**53
    )


def watch_settings(values: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the settings, `values` checked and the rest by default; RecipeError names every one that does not fit."""
    settings = asdict(WatchSettings(**fill("A guard's drift", knobs_of(WatchSettings()), values)))
    if settings["labels"] != "self" and not settings["inbox"]:
        told = Note("Name the campaign whose people label, or let the detector label itself.")
        raise RecipeError(told, {"inbox": [told]})
    return settings


def knobs_for(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the knobs of a run that retrains by these settings."""
    return {one.name: settings[one.name] for one in knobs_of(GuardRetraining())}
