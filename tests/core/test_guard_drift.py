"""A detector that keeps up: what it learns from whom, where its line lies, and when it says that it is blind."""

from __future__ import annotations

import numpy as np
import pytest

from training.core.guard.drift import (
    HUMAN,
    MONITOR,
    SELF,
    UNCERTAIN,
    Item,
    Label,
    Learner,
    Retraining,
    most_uncertain,
    stronger,
)
from training.core.guard.thresholds import Unreachable, line_for_rate
from training.core.job import RunError
from training.errors import TrainingError


def middle(contents, truth, weights):
    """A detector of numbers: 1 above the middle between both classes' weighted means, and 0 below it."""
    values = np.array(contents, dtype=float)
    border = sum(np.average(values[side], weights=weights[side]) for side in (truth, ~truth)) / 2
    return lambda asked: 1 / (1 + np.exp(-5 * (np.array(asked, dtype=float) - border)))


def week(n: int, attack: float, *, attacks: int = 10, benign: int = 40) -> list[Item[float]]:
    values = [(0.01 * (k % 5), False) for k in range(benign)] + [(attack, True)] * attacks
    return [Item(f"{n}-{k}", value, truth) for k, (value, truth) in enumerate(values)]


def learner(labels: str = SELF, *, startup: int = 2, **more) -> Learner[float]:
    settings = Retraining(startup_slices=startup, labels=labels, target_fpr=0.25, **more)
    return Learner(middle, settings, [week(n, 4.0) for n in range(startup)])


def test_a_slice_is_scored_before_it_is_learned():
    """The border is at 2.01 at first: attacks at 3 are found, and at 1.8 they are once those at 3 were learned."""
    follows = learner(window_slices=1)
    first, second = follows.step(week(2, 3.0)), follows.step(week(3, 1.8))
    assert (first.slice, first.detector, second.detector) == (2, 1, 2)
    assert first.misses["estimate"] == 0 and second.positives == 10 and second.alarm is None
    assert learner().step(week(2, 1.8)).positives == 0
    assert first.labels == {SELF: 50} and first.false_alarms["n"] == 40


def test_no_positive_is_an_alarm_and_the_detector_stays():
    blind = learner()
    before = blind.detector
    told = blind.step(week(2, 1.0))
    assert told.alarm == "No positive in slice 2: what the detector says of it is not learned."
    assert blind.detector is before and blind.step(week(3, 4.0)).detector == 1
    assert not any(item.id in blind.labels for item in blind.slices[2])
    fewer = blind.step(week(4, 4.0, attacks=4))
    assert fewer.alarm.startswith("Only 4 positives in slice 4, where 10 are usual")
    with pytest.raises(RunError, match=r"Slice 5 is empty"):
        blind.step([])


def test_what_the_monitor_finds_brings_it_back_with_the_share_of_new_attacks():
    """All ten attacks at 1 were missed, so that of the border's two sides they alone stand for jailbreaks."""
    blind = learner()
    told = blind.step(week(2, 1.0), monitored=lambda items: {item.id: True for item in items if item.truth})
    assert told.alarm and told.labels == {MONITOR: 10} and blind.broke == (2, 1.0)
    assert blind.step(week(3, 1.0)).detector == 2
    # With one in four of the old kind, these count a quarter: weights by hand, four old and two new of six texts.
    blind.broke = (2, 0.75)
    truth = np.array([True] * 6 + [False] * 6)
    weights = blind._weights([0, 1, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2], truth)
    assert weights[:4].sum() == pytest.approx(1.5) and weights[4:6].sum() == pytest.approx(4.5)
    assert weights[6:].tolist() == [1.0] * 6


def test_people_s_labels_are_never_replaced():
    person, watch, own = Label(True, HUMAN), Label(False, MONITOR), Label(False, SELF)
    assert stronger(person, watch) == stronger(person, own) == person
    assert stronger(own, watch) == stronger(watch, own) == watch and stronger(None, own) == own
    assert stronger(watch, person) == stronger(own, person) == person
    asked = learner(UNCERTAIN, uncertain_share=0.1)
    told = asked.step(week(2, 2.2), monitored=lambda items: {item.id: False for item in items})
    assert told.labels == {MONITOR: 45, HUMAN: 5} and len(told.asked) == 5
    assert all(asked.labels[one].source == HUMAN for one in told.asked)
    asked.labels[asked.slices[2][-1].id] = person
    asked._label(asked.slices[2], None, [], {asked.slices[2][-1].id: False})
    assert asked.labels[asked.slices[2][-1].id] == person
    assert learner(HUMAN).step(week(2, 0.5)).labels == {HUMAN: 50}


def test_the_least_sure_are_asked_about():
    """At a line of 0.8: 0.7 is 1/8 from it, 0.95 is 3/4, 0.4 is 1/2; two of five are ⌈0.3 · 5⌉."""
    assert most_uncertain(np.array([0.4, 0.95, 0.7, 0.0, 1.0]), 0.8, share=0.3) == [2, 0]


def test_a_window_never_forgets_all_positives():
    keeps = learner(HUMAN, window_slices=1)
    for n in (2, 3, 4):
        keeps.step(week(n, 4.0, attacks=0))
    assert {place for place, item in keeps._window() if item.truth} == {1}
    assert {place for place, item in keeps._window() if not item.truth} == {4}
    assert keeps.trained == 4 and keeps.step(week(5, 4.0)).misses["estimate"] == 0


def test_no_detector_trains_on_what_its_line_is_drawn_on():
    seen: list[list[float]] = []

    def noted(contents, truth, weights):
        seen.append(list(contents))
        return middle(contents, truth, weights)

    slices = [[Item(f"{n}-{k}", n + k / 1000, k >= 50) for k in range(60)] for n in range(4)]
    keeps = Learner(noted, Retraining(startup_slices=1, labels=HUMAN, window_slices=1, target_fpr=0.2), slices[:1])
    for one in slices[1:]:
        keeps.step(one)
    inside = {item.content for item in slices[3]}
    assert set(seen[-1]) == {item.content for item in slices[3] if not item.held_out} < inside
    held = [[item.content for item in one if item.held_out and not item.truth] for one in slices]
    left = [item.content for item in slices[2] if not item.truth] + [item.content for item in slices[1][:50]]
    benign = (held[3] + left)[:100]  # one in ten of the window and what has left it, the newest twenty times of 1/0.2
    assert keeps.line == line_for_rate(keeps.detector(benign).tolist(), 0.2)


def test_a_line_needs_enough_benign_texts_and_is_capped():
    """Of 10 texts ⌊0.8 · 10⌋ = 8 lie below the line's own, so that one in ten is above it; 0.1 % takes 1,000."""
    values = [n / 20 for n in range(10)]
    line = line_for_rate(values, 0.2)
    assert (line.value, line.false_alarms, line.benign, line.capped) == (0.4, 1, 10, False)
    high = line_for_rate([0.95] * 10, 0.2)
    assert (high.value, high.false_alarms, high.capped) == (0.9, 10, True)
    assert line_for_rate([0.1] * 1000, 0.001).value == 0.1
    with pytest.raises(Unreachable, match=r"0\.10% cannot be shown on 999 benign texts .* that takes 1000 at least"):
        line_for_rate([0.1] * 999, 0.001)


def test_what_cannot_be_started_from_is_refused():
    with pytest.raises(RunError, match="starts from 2 slices of which people have labelled every text"):
        Learner(middle, Retraining(startup_slices=2), [week(0, 4.0), [Item("a", 1.0)]])
    with pytest.raises(RunError, match="hold no jailbreak"):
        Learner(middle, Retraining(startup_slices=1), [week(0, 4.0, attacks=0)])
    with pytest.raises(TrainingError, match="Labels are self, human or uncertain"):
        Retraining(labels="nobody")
