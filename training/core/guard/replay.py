"""Published jailbreaks in time order: what a detector misses that is trained once, on its own labels, or people's.

The dated prompts hold jailbreaks alone, and the benign prompts that stand beside them, XSTest's safe ones and
Arena-Hard's, have no dates: each is put into a slice by its hash. So of the two only the attacks drift, and what is
refused wrongly says nothing of how benign traffic changes. The scores over ten months are those of the paper's own
detectors, without texts: no baseline can be trained beside them.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from training.core.guard.drift import HALF, HUMAN, RECENT, SELF, Detector, Fit, Item, Learner, Retraining
from training.core.guard.published import xstest_prompts
from training.core.guard.retraining import by_words
from training.core.guard.thresholds import line_for_rate
from training.core.job import RunError
from training.core.records import messages_of, prompt_hash
from training.core.stats import Interval, difference, wilson
from training.recipes.note import Note

WEEK = 7 * 86_400.0  # seconds
STARTUP = 6  # slices of the dated prompts, of which the first weeks hold few
RATE = 0.05  # what their benign prompts can show
PAPER_RATE = 0.001
ONCE = "once"
LAST = 8


def _words(contents: Sequence[str], truth: np.ndarray, weights: np.ndarray) -> Detector[str]:
    """The baseline: TF-IDF over words and pairs of words with logistic regression."""
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    model = LogisticRegression(max_iter=1000).fit(words.fit_transform(contents), truth, sample_weight=weights)
    return lambda asked: np.asarray(model.predict_proba(words.transform(asked))[:, 1])


DETECTORS: dict[str, Fit[str]] = {"guard": by_words, "TF-IDF": _words}


def dated(folder: Path) -> list[list[Item[str]]]:
    """Return the weeks of jailbreaks in the wild (arXiv:2308.03825), each with its part of the benign prompts."""
    path = folder / "jailbreak-prompts-dated" / "jailbreak_prompts_2022-12_2023-03.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        given = [(datetime.fromisoformat(row["created_at"]).timestamp(), row["prompt"]) for row in csv.DictReader(file)]
    first: dict[str, float] = {}
    for at, text in sorted(given):
        first.setdefault(text, at)
    begin = min(first.values())
    slices: list[list[Item[str]]] = [[] for _ in range(int((max(first.values()) - begin) // WEEK) + 1)]
    for text, at in first.items():
        slices[int((at - begin) // WEEK)].append(Item(_hash(text), text, True))
    with gzip.open(folder / "arena-hard-v0.1" / "question.jsonl.gz", "rt", encoding="utf-8") as lines:
        benign = [json.loads(line)["prompt"] for line in lines]
    benign += [row.text for row in xstest_prompts(folder) if not row.risky]
    for text in dict.fromkeys(benign):
        slices[int(_hash(text)[8:16], 16) % len(slices)].append(Item(_hash(text), text, False))
    return slices


def _hash(text: str) -> str:
    return prompt_hash(messages_of(text))


@dataclass(frozen=True)
class Way:
    """How one detector did over the slices that it was not started from, trained in one way."""

    name: str
    labels: str
    misses: Interval
    false_alarms: Interval
    alarms: int
    slices: int

    def told(self) -> str:
        """Return a line of the table."""
        figures = f"{_told(self.misses)} | {_told(self.false_alarms)}"
        return f"| {self.name} | {self.labels} | {figures} | {self.alarms} of {self.slices} |"


HEADINGS = ("detector", "trained", "jailbreaks missed", "benign flagged", "slices with an alarm")
TITLE = f"| {' | '.join(HEADINGS)} |\n{'| --- ' * len(HEADINGS)}|"


def _told(value: Interval) -> str:
    return f"{value['estimate']:.1%} ({value['low']:.1%} to {value['high']:.1%}, n {value['n']})"


def replayed(name: str, labels: str, slices: Sequence[Sequence[Item[str]]], *, rate: float = RATE) -> Way:
    """Run a detector through the slices; trained once it is never renewed."""
    settings = Retraining(
        startup_slices=STARTUP, labels=HUMAN if labels == HUMAN else SELF, target_fpr=rate, window_slices=0
    )
    learner = Learner(DETECTORS[name], settings, slices[:STARTUP])
    missed, flagged, jailbreaks, benign, alarms = 0, 0, 0, 0, 0
    for one in slices[STARTUP:]:
        truth = np.array([bool(item.truth) for item in one])
        if labels == ONCE:
            above = learner.detector([item.content for item in one]) > learner.line.value
        else:
            line = learner.line.value
            week = learner.step(one)
            above, alarms = week.confidences > line, alarms + (week.alarm is not None)
        missed, jailbreaks = missed + int((~above & truth).sum()), jailbreaks + int(truth.sum())
        flagged, benign = flagged + int((above & ~truth).sum()), benign + int((~truth).sum())
    return Way(name, labels, wilson(missed, jailbreaks), wilson(flagged, benign), alarms, slices=len(slices) - STARTUP)


def in_the_wild(folder: Path) -> list[Way]:
    slices = dated(folder)
    return [replayed(name, labels, slices) for name in DETECTORS for labels in (ONCE, SELF, HUMAN)]


SCORES = {
    "trained once": "results_base_1_7_1.tsv.gz",
    "weekly on its own labels": "results_continuous_self_1_1_7_1.tsv.gz",
}


@dataclass(frozen=True)
class Scores:
    """What a published detector said of each prompt, by week."""

    week: np.ndarray
    truth: np.ndarray
    confidence: np.ndarray


def scores(folder: Path, file: str) -> Scores:
    """Read the scores of one detector; RunError where one is no time, label and confidence."""
    path = folder / "jailbreaks-over-time-scores" / file
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        try:
            rows = [
                (float(row["timestamp"]), row["label"] == "1", float(row["confidence"]))
                for row in csv.DictReader(lines, delimiter="\t")
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(Note("{file} holds no scores that can be read ({error}).", file=file, error=error)) from None
    at, truth, confidence = (np.array(column) for column in zip(*rows, strict=True))
    return Scores(((at - at.min()) // WEEK).astype(int), truth.astype(bool), confidence)


def at_half(told: Scores, *, last: int | None = None) -> tuple[Interval, Interval]:
    """Return jailbreaks missed and benign prompts flagged at a confidence of ½, in all weeks or the last ones."""
    return _rates(told, lambda week: HALF, first=0 if last is None else int(told.week.max()) + 1 - last)


def at_line(told: Scores, rate: float = PAPER_RATE) -> tuple[Interval, Interval, int]:
    """Return the same at lines drawn for a rate on the benign prompts of the weeks before, and the first week of it."""

    def line(week: int) -> float:
        return line_for_rate(told.confidence[~told.truth & (told.week < week)].tolist(), rate).value

    first = next(n for n in range(int(told.week.max()) + 1) if (~told.truth & (told.week < n)).sum() * rate >= 1)
    return *_rates(told, line, first=first), first


def _rates(told: Scores, line: Callable[[int], float], *, first: int) -> tuple[Interval, Interval]:
    counts = np.zeros((2, 2), dtype=int)  # missed of jailbreaks, flagged of the others
    for week in range(first, int(told.week.max()) + 1):
        there, above = told.week == week, told.confidence > line(week)
        counts[0] += (there & told.truth & ~above).sum(), (there & told.truth).sum()
        counts[1] += (there & ~told.truth & above).sum(), (there & ~told.truth).sum()
    missed, flagged = (wilson(int(n), int(of)) for n, of in counts)
    return missed, flagged


def alarms(told: Scores) -> int:
    """Return in how many weeks positives fell below half of the median of the four before."""
    found = np.bincount(told.week, weights=told.confidence > HALF)
    floor = Retraining().fewest
    return sum(bool(found[n] < floor * np.median(found[n - RECENT : n])) for n in range(RECENT, len(found)))


def over_time(folder: Path) -> list[str]:
    """Return the table of the published scores, line by line, and by how much retraining misses less."""
    every = {name: scores(folder, file) for name, file in SCORES.items()}
    lines = [
        "| detector of the paper | missed / flagged at ½ | the same, last 8 weeks | missed / flagged, line for 0.1 % "
        "on the past | weeks with an alarm |",
        "| --- | --- | --- | --- | --- |",
    ]
    at: dict[str, Interval] = {}
    for name, told in every.items():
        all_of, late, (missed, flagged, first) = at_half(told), at_half(told, last=LAST), at_line(told)
        at[name] = missed
        cells = [f"{_told(one)} / {_told(other)}" for one, other in (all_of, late, (missed, flagged))]
        lines.append(f"| {name} | {' | '.join(cells)} (from week {first}) | {alarms(told)} |")
    gain = difference(*(at[name] for name in SCORES))
    shown = f"{gain['estimate']:+.1%} ({gain['low']:+.1%} to {gain['high']:+.1%})"
    return [*lines, f"| missed less when retrained | | | {shown} | |"]
