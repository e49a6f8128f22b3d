"""A detector of jailbreaks that keeps up with them: trained anew each slice of time, on its own labels or people's.

JailbreaksOverTime: each slice is scored by the detector of the slices before it, which is the reported error; then the
slice is labelled, and a new detector is trained from the base, never on from the last one. Where we depart from it:
the line for a rate of false positives is drawn on benign texts that the detector did not train on, people's first; and
a slice in which the detector finds too little raises an alarm. What it says of that slice is then not learned: only
people's labels and the monitor's are (see `monitor`), and without them it stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median
from typing import Any, Generic, TypeVar

import numpy as np

from training.core.guard.thresholds import FalseAlarmLine, line_for_rate
from training.core.job import RunError
from training.core.stats import Interval, wilson
from training.errors import TrainingError
from training.recipes.drift import held_out
from training.recipes.note import Note

T = TypeVar("T")

SELF, MONITOR, HUMAN = "self", "monitor", "human"  # who labelled, the weakest first
UNCERTAIN = "uncertain"  # people label what the detector is least sure of
HALF = 0.5  # a confidence above it is the detector's own label
RECENT = 4  # slices whose positives are what is usual
LINE_TEXTS = 20  # times those that a rate of false positives needs, at most: the newest

Detector = Callable[[Sequence[T]], np.ndarray]  # how sure it is, of each text, that it is a jailbreak
# From texts, whether each is a jailbreak, and weights under which both classes count alike; always from the base.
Fit = Callable[[Sequence[T], np.ndarray, np.ndarray], Detector[T]]


@dataclass(frozen=True)
class Item(Generic[T]):
    """What was asked in a slice. `truth` is what a person said or would say of it, if asked; None if unknown."""

    id: str
    content: T
    truth: bool | None = None

    @cached_property
    def held_out(self) -> bool:
        """Return whether no detector trains on it: one in ten, by its id, so that it is so in each slice."""
        return held_out(self.id)


@dataclass(frozen=True)
class Label:
    jailbreak: bool
    source: str


def stronger(old: Label | None, new: Label) -> Label:
    """Return the label that counts: a person's is never replaced by the monitor's, nor that by the detector's own."""
    order = (SELF, MONITOR, HUMAN)
    return new if old is None or order.index(new.source) >= order.index(old.source) else old


@dataclass(frozen=True)
class Retraining:
    """How a detector is retrained. A window of 0 slices forgets nothing, as in the paper."""

    startup_slices: int = 4
    labels: str = SELF
    uncertain_share: float = 0.05  # of a slice, labelled by people
    window_slices: int = 0
    target_fpr: float = 0.001
    fewest: float = 0.5  # of the usual number of positives, below which a slice raises an alarm

    def __post_init__(self) -> None:
        known = self.labels in (SELF, HUMAN, UNCERTAIN) and self.startup_slices > 0 and self.window_slices >= 0
        if not known or not (0 < self.target_fpr < 1 and 0 <= self.fewest < 1 and 0 < self.uncertain_share <= 1):
            raise TrainingError(
                Note(
                    "A detector cannot be retrained like that. Labels are self, human or uncertain, there is at least "
                    "one slice to start from, and shares lie between 0 and 1."
                )
            )


@dataclass(frozen=True)
class Week:
    """A slice, as it was judged by the detector of the slices up to `detector`, before anything learned from it."""

    slice: int
    detector: int
    items: int
    line: FalseAlarmLine
    positives: int  # by the detector's own labels
    flagged: int  # above the line
    alarm: Note | None
    misses: Interval | None  # of jailbreaks, where it is known which are; and false alarms of the others
    false_alarms: Interval | None
    confidences: np.ndarray = field(repr=False)
    labels: dict[str, int] = field(default_factory=dict)  # how many the slice got from whom
    asked: tuple[str, ...] = ()  # ids of those that people are to label

    def as_json(self) -> dict[str, Any]:
        told = {name: value for name, value in vars(self).items() if name != "confidences"}
        return {**told, "line": self.line.as_json(), "alarm": None if self.alarm is None else str(self.alarm)}


class Learner(Generic[T]):
    """Slices and their labels so far, and the detector that they came to."""

    def __init__(self, fit: Fit[T], settings: Retraining, startup: Sequence[Sequence[Item[T]]]) -> None:
        """Learn from the first slices, all of whose texts people have labelled; RunError if one is not."""
        if len(startup) != settings.startup_slices or any(item.truth is None for one in startup for item in one):
            raise RunError(
                Note(
                    "A detector starts from {n} slices of which people have labelled every text. Label them first.",
                    n=settings.startup_slices,
                )
            )
        self.fit = fit
        self.settings = settings
        self.slices: list[Sequence[Item[T]]] = []
        self.labels: dict[str, Label] = {}
        self.usual: list[int] = []  # positives of the slices without an alarm
        self.broke: tuple[int, float] | None = None  # the slice of the last break, and the share of new attacks in it
        for one in startup:
            self.slices.append(one)
            self.labels.update({item.id: Label(bool(item.truth), HUMAN) for item in one})
            self.usual.append(sum(bool(item.truth) for item in one))
        self.trained = -1  # the slice that was the last when the detector was trained
        self.detector: Detector[T]
        self.line: FalseAlarmLine
        self._train()
        if self.trained < 0:
            raise RunError(
                Note("The first slices hold no jailbreak, or nothing else, to learn from. Take more slices to start.")
            )

    @classmethod
    def resumed(
        cls,
        fit: Fit[T],
        settings: Retraining,
        slices: Sequence[Sequence[Item[T]]],
        *,
        labels: dict[str, Label],
        usual: Sequence[int],
        broke: tuple[int, float] | None,
        trained: int,
        detector: Detector[T],
        line: FalseAlarmLine,
    ) -> Learner[T]:
        """Return one that goes on where another one stopped, with what is left of its slices and the labels of now."""
        learner = cls.__new__(cls)
        learner.fit, learner.settings = fit, settings
        learner.slices, learner.labels = list(slices), dict(labels)
        learner.usual, learner.broke = list(usual), broke
        learner.trained, learner.detector, learner.line = trained, detector, line
        return learner

    def skip_to(self, place: int) -> None:
        """Go on to slice `place`; those before it had nothing in them."""
        self.slices += [[] for _ in range(place - len(self.slices))]

    def step(
        self,
        items: Sequence[Item[T]],
        *,
        monitored: Callable[[Sequence[Item[T]]], dict[str, bool]] | None = None,
        said: Collection[str] = (),
    ) -> Week:
        """Return how the detector does on the next slice; then label the slice and train anew.

        `monitored` says of those items it can whether they are jailbreaks, by id. `said` are ids of items of which
        people have said it already, whoever is asked.
        """
        if not items:
            raise RunError(Note("Slice {n} is empty. Take longer slices.", n=len(self.slices)))
        place, settings = len(self.slices), self.settings
        confidences = self.detector([item.content for item in items])
        flagged, own = confidences > self.line.value, confidences > HALF
        alarm = None if settings.labels == HUMAN else self._alarm(place, int(own.sum()))
        asked: list[int] = []
        if settings.labels == HUMAN:
            asked = list(range(len(items)))
        elif settings.labels == UNCERTAIN:
            asked = most_uncertain(confidences, self.line.value, share=settings.uncertain_share)
        # Where people label everything, what they have not labelled yet is nobody's.
        learned = own if alarm is None and settings.labels != HUMAN else None
        known = {*asked, *(n for n, item in enumerate(items) if item.id in said)}
        told = self._label(items, learned, sorted(known), monitored(items) if monitored else {})
        week = Week(
            slice=place,
            detector=self.trained,
            items=len(items),
            line=self.line,
            positives=int(own.sum()),
            flagged=int(flagged.sum()),
            alarm=alarm,
            misses=_share(~flagged, items, jailbreak=True),
            false_alarms=_share(flagged, items, jailbreak=False),
            confidences=confidences,
            labels=told,
            asked=tuple(items[n].id for n in asked),
        )
        self.slices.append(items)
        found = [n for n, item in enumerate(items) if (one := self.labels.get(item.id)) and one.jailbreak]
        if alarm is None:
            self.usual.append(len(found))
        elif found:  # the detector missed what others found: from here on attacks are of another kind
            self.broke = (place, sum(not own[n] for n in found) / len(found))
        if alarm is None or found:
            self._train()
        return week

    def _alarm(self, place: int, positives: int) -> Note | None:
        if not positives:
            return Note("No positive in slice {n}: what the detector says of it is not learned.", n=place)
        usual = median(self.usual[-RECENT:])
        if positives < self.settings.fewest * usual:
            return Note(
                "Only {positives} positives in slice {n}, where {usual} are usual: what the detector says of it is "
                "not learned.",
                positives=positives,
                n=place,
                usual=int(usual),
            )
        return None

    def _label(
        self, items: Sequence[Item[T]], own: np.ndarray | None, asked: Sequence[int], monitored: dict[str, bool]
    ) -> dict[str, int]:
        """Give the items of a slice the labels there are for them, and return how many came from whom."""
        people = set(asked)
        for n, item in enumerate(items):
            new = []
            if own is not None:
                new.append(Label(bool(own[n]), SELF))
            if item.id in monitored:
                new.append(Label(monitored[item.id], MONITOR))
            if n in people and item.truth is not None:
                new.append(Label(item.truth, HUMAN))
            for label in new:
                self.labels[item.id] = stronger(self.labels.get(item.id), label)
        sources = [self.labels[item.id].source for item in items if item.id in self.labels]
        return {source: sources.count(source) for source in (SELF, MONITOR, HUMAN) if source in sources}

    def _window(self) -> list[tuple[int, Item[T]]]:
        """Return the labelled items to learn from with their slices: those of the window, and always some positives."""
        width = self.settings.window_slices or len(self.slices)
        first = max(0, len(self.slices) - width)
        labelled = [(n, item) for n in range(first, len(self.slices)) for item in self.slices[n]]
        there = [(n, item) for n, item in labelled if item.id in self.labels]
        while first and not any(self._jailbreak(item) and not item.held_out for _, item in there):
            first -= 1
            there += [(first, item) for item in self.slices[first] if self._jailbreak(item)]
        return there

    def _jailbreak(self, item: Item[T]) -> bool:
        label = self.labels.get(item.id)
        return label is not None and label.jailbreak

    def _train(self) -> None:
        """Train from the base on what is in the window, and draw the line on benign items that are not trained on."""
        learn = [(n, item) for n, item in self._window() if not item.held_out]
        truth = np.array([self._jailbreak(item) for _, item in learn], dtype=bool)
        if not 0 < truth.sum() < len(truth):
            return
        detector = self.fit([item.content for _, item in learn], truth, self._weights([n for n, _ in learn], truth))
        self.line = self._line(detector, {item.id for _, item in learn})
        self.detector = detector
        self.trained = len(self.slices) - 1

    def _line(self, detector: Detector[T], seen: set[str]) -> FalseAlarmLine:
        """Return the line drawn on the newest benign items that are not in `seen`.

        People's alone where there are enough: those that the detectors called benign lack what they were wrong about,
        and a line that is drawn on them lets several times as many false positives through.
        """
        rate = self.settings.target_fpr
        most = math.ceil(LINE_TEXTS / rate)
        unseen = [item for one in reversed(self.slices) for item in one if item.id not in seen]
        benign = [item for item in unseen if item.id in self.labels and not self.labels[item.id].jailbreak]
        people = [item for item in benign if self.labels[item.id].source == HUMAN]
        chosen = people if len(people) * rate >= 1 else benign
        content = [item.content for item in chosen[:most]]
        return line_for_rate(detector(content).tolist() if content else [], rate)

    def _weights(self, slices: Sequence[int], truth: np.ndarray) -> np.ndarray:
        """Return weights under which both classes count alike.

        Where the window spans a break, the positives since then have the share that new attacks had in its slice: the
        slices before it hold more of them, and of a kind that comes no more, or as rarely as there.
        """
        weights = np.ones(len(truth))
        if self.broke is not None:
            place, share = self.broke
            new = truth & (np.array(slices) >= place)
            old = truth & ~new
            if new.any() and old.any() and 0 < share < 1:
                weights[new], weights[old] = share / new.sum(), (1 - share) / old.sum()
        for side in (truth, ~truth):
            weights[side] *= len(truth) / (2 * weights[side].sum())
        return weights


def most_uncertain(confidences: np.ndarray, line: float, *, share: float) -> list[int]:
    """Return the places of the ⌈share · N⌉ texts of which a detector is least sure, the least sure first.

    u = 1 - |c - θ| / (θ where c < θ, else 1 - θ): 1 at the line, 0 at both ends.
    """
    room = np.where(confidences < line, line, 1 - line)
    distance = np.abs(confidences - line) / np.maximum(room, 1e-12)
    return np.argsort(distance, kind="stable")[: math.ceil(share * len(confidences))].tolist()


def _share(what: np.ndarray, items: Sequence[Item[Any]], *, jailbreak: bool) -> Interval | None:
    """Return the share of jailbreaks, or of the others, of which `what` holds; None where none is known."""
    among = np.array([item.truth is jailbreak for item in items])
    return wilson(int(what[among].sum()), int(among.sum())) if among.any() else None
