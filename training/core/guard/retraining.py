"""A guard's detector of jailbreaks, held to what came through since and trained anew: the run behind a weekly job.

The run's data is a file of JSON lines. The first is ``{"state": …}``: `slices`, how many there are; `judge`, those of
them to be judged now, in order; and of a detector that goes on also `usual`, `broke` and `trained` (`drift.Learner`).
The others are prompts, ``{"id", "slice", "text", "truth", "label", "source"}``, truth being what people said, if
anything, and label what was learned of it so far. The model is a guard's folder; what comes out is the same guard with
a new detector beside its own check, and the figures of each slice, which were taken before it was learned.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.core.chat import Speaker
from training.core.guard.drift import HUMAN, Detector, Item, Label, Learner, Retraining, Week
from training.core.guard.fitting import Labelled, learned, risks
from training.core.guard.folder import jailbreaks_of, load_guard, save_with_jailbreaks
from training.core.guard.lexical import Lexical
from training.core.guard.monitor import Guarding, Monitor, Spoken, Suspect
from training.core.guard.verdicts import SAFE, UNSAFE
from training.core.job import Job, RunError, Stopped
from training.recipes.chat import Voice
from training.recipes.note import Note
from training.recipes.spec import RunResult, write_json, write_text

FILES = {"weeks": "weeks.json", "scored": "scored.jsonl"}


@dataclass(frozen=True)
class Words:
    """A detector by the words of a prompt: the guard's own check."""

    check: Lexical

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        return risks(self.check, [Labelled(text, SAFE) for text in texts])


def by_words(contents: Sequence[str], truth: np.ndarray, weights: np.ndarray) -> Detector[str]:
    """Train a detector from nothing, by words alone: their pieces take minutes where prompts are long."""
    rows = [Labelled(text, UNSAFE if bad else SAFE) for text, bad in zip(contents, truth, strict=True)]
    return Words(learned(rows, letters=False, weights=weights))


@dataclass(frozen=True)
class Row:
    """A prompt of the run's data."""

    item: Item[str]
    slice: int
    label: Label | None

    @classmethod
    def of(cls, told: dict[str, Any]) -> Row:
        truth, said = told.get("truth"), told.get("label")
        label = None if said is None else Label(bool(said), str(told["source"]))
        if truth is not None:
            label = Label(bool(truth), HUMAN)
        return cls(Item(str(told["id"]), str(told["text"]), truth), int(told["slice"]), label)


def read(path: Path) -> tuple[dict[str, Any], list[Row]]:
    """Return the state and the prompts of a run's data; RunError names the first line that is neither."""
    rows: list[Row] = []
    state: dict[str, Any] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            told = json.loads(line)
            if number == 1:
                state = dict(told["state"])
            else:
                rows.append(Row.of(told))
        except (ValueError, KeyError, TypeError):
            raise RunError(
                Note("Line {number} of {file} is no prompt to retrain on.", number=number, file=path.name)
            ) from None
    return state, rows


def run_retraining(
    job: Job,
    *,
    startup_slices: int,
    labels: str,
    uncertain_share: float,
    window_slices: int,
    target_fpr: float,
    monitor_prompts: int,
    monitor_share: float,
) -> RunResult:
    """Judge the slices that wait, train anew after each, and write the guard that came of it."""
    assert job.spec.data is not None
    state, rows = read(Path(job.spec.data))
    settings = Retraining(
        startup_slices=startup_slices,
        labels=labels,
        uncertain_share=uncertain_share,
        window_slices=window_slices,
        target_fpr=target_fpr,
    )
    of: list[list[Row]] = [[] for _ in range(int(state["slices"]))]
    for row in rows:
        of[row.slice].append(row)
    learner = _learner(job, settings, state, of)
    before = learner.trained if state.get("usual") else -1
    watch = _monitor(job, monitor_share)
    weeks: list[Week] = []
    found: dict[str, Suspect] = {}
    for place in state["judge"]:
        if job.stop_requested():
            raise Stopped
        there = of[place]
        learner.skip_to(place)
        said = {row.item.id for row in there if row.item.truth is not None}
        tries = None if watch is None else _tries(watch, said, found, most=monitor_prompts)
        weeks.append(learner.step([row.item for row in there], monitored=tries, said=said))
        job.progress(step=len(weeks), total_steps=len(state["judge"]), flagged=weeks[-1].flagged)
    _write(job.folder, weeks, learner, of, found)
    anew = learner.trained > before
    if anew and isinstance(learner.detector, Words):
        save_with_jailbreaks(
            Path(job.spec.guard or job.spec.model),
            job.folder / "model",
            check=learner.detector.check,
            line=learner.line,
        )
    return RunResult(
        model="model" if anew else None,
        files=dict(FILES),
        metrics=_figures(weeks[-1] if weeks else None, learner),
        counts={
            "read": len(rows),
            "slices": len(weeks),
            "alarms": sum(week.alarm is not None for week in weeks),
            "found_by_monitor": sum(one.jailbreak for one in found.values()),
        },
        notes=[week.alarm for week in weeks if week.alarm is not None],
    )


def _learner(job: Job, settings: Retraining, state: dict[str, Any], of: Sequence[Sequence[Row]]) -> Learner[str]:
    """Return who goes on from the detector in the guard's folder, or who begins, where there was none yet."""
    if not state.get("usual"):
        first = [[row.item for row in one if row.item.truth is not None] for one in of[: settings.startup_slices]]
        if lacking := [str(n) for n, one in enumerate(first) if not one]:
            raise RunError(
                Note(
                    "People have labelled nothing of slice {names}, and a detector starts from what they have. Label "
                    "some of it first, or begin later.",
                    names=", ".join(lacking),
                )
            )
        return Learner(by_words, settings, first)
    there = jailbreaks_of(job.spec.model)
    if there is None:
        raise RunError(Note("{folder} holds no detector of jailbreaks to go on from.", folder=job.spec.model))
    past = of[: min(state["judge"], default=len(of))]
    return Learner.resumed(
        by_words,
        settings,
        [[row.item for row in one] for one in past],
        labels={row.item.id: row.label for one in past for row in one if row.label is not None},
        usual=state["usual"],
        broke=None if state.get("broke") is None else (int(state["broke"][0]), float(state["broke"][1])),
        trained=int(state["trained"]),
        detector=Words(there[0]),
        line=there[1],
    )


def _monitor(job: Job, share: float) -> Monitor | None:
    """Return what tries templates on a policy; None where no policy stands beside, or no known requests are named."""
    if not job.spec.suite or "policy" not in job.spec.beside:
        return None
    trust = job.spec.trust_remote_code
    spoken = Spoken(Speaker(Voice(model=job.spec.beside["policy"], trust_remote_code=trust)), seed=job.spec.seed)
    judge = Guarding(load_guard(job.spec.model, device=job.device, trust_remote_code=trust))
    payloads = Path(job.spec.suite).read_text(encoding="utf-8").splitlines()
    return Monitor(payloads, target=spoken, judge=judge, splitter=spoken, share=share)


def _tries(
    watch: Monitor, said: set[str], found: dict[str, Suspect], *, most: int
) -> Callable[[Sequence[Item[str]]], dict[str, bool]]:
    """Return what asks the monitor about a part of a slice, drawn by hash, of which people have said nothing."""

    def tried(items: Sequence[Item[str]]) -> dict[str, bool]:
        asked = sorted((item for item in items if item.id not in said), key=lambda item: item.id)[:most]
        suspects = watch.suspects([item.content for item in asked])
        new = {item.id: one for item, one in zip(asked, suspects, strict=True) if one is not None}
        found.update(new)
        return {name: one.jailbreak for name, one in new.items()}

    return tried


def _write(
    folder: Path, weeks: Sequence[Week], learner: Learner[str], of: Sequence[Sequence[Row]], found: dict[str, Suspect]
) -> None:
    told = [week.as_json() | {"alarm": None if week.alarm is None else week.alarm.told} for week in weeks]
    state = {"usual": learner.usual, "broke": learner.broke, "trained": learner.trained}
    write_json(folder / FILES["weeks"], {"weeks": told, "state": state})
    lines = []
    for week in weeks:
        for row, confidence in zip(of[week.slice], week.confidences, strict=True):
            label, suspect = learner.labels.get(row.item.id), found.get(row.item.id)
            line = {
                "id": row.item.id,
                "slice": week.slice,
                "confidence": round(float(confidence), 6),
                "flagged": bool(confidence > week.line.value),
                "label": None if label is None else asdict(label),
                "asked": row.item.id in week.asked,
                "share": suspect.share if suspect is not None and suspect.jailbreak else None,
            }
            lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    write_text(folder / FILES["scored"], "".join(lines))


def _figures(last: Week | None, learner: Learner[str]) -> dict[str, Any]:
    """Return what stands on the page of a version: the line, and the newest slice where people labelled it."""
    told: dict[str, Any] = {"threshold": learner.line.value, "benign": learner.line.benign}
    if last is not None:
        told |= {name: one for name, one in (("misses", last.misses), ("false_alarms", last.false_alarms)) if one}
    return told
