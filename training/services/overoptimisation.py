"""Whether a policy still becomes better for people as its reward rises. Plain Python.

Objective mismatch (arXiv:2311.00168) names the symptom; the pieces are standard: slopes with their intervals, and the
curve of gold over the distance d = √KL from the first policy, which is d(α − βd) for the best of n and d(α − β log d)
for reinforcement learning (arXiv:2210.10760, section 3.1). Thresholds are ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

WINDOW = 3  # checkpoints over which slopes are taken
# Standard errors of the difference by which people's score has to fall. An alarm is looked for at each checkpoint: over
# twelve of 200 votes each, two errors ring for 13 of 40 ways that stay at their best, three for none of them.
ERRORS = 3.0
LEAST = 3  # points without which there is no curve
BEST_OF_N, RL = "best_of_n", "rl"


@dataclass(frozen=True)
class Checkpoint:
    """A policy on its way: how far it is from the first, and what the reward model and people say of it."""

    label: str
    distance: float  # √KL from the first, in √nats
    proxy: float
    human: float


# The standard error of people's score of one checkpoint less that of an earlier one, by their places.
Error = Callable[[int, int], float]
Figure = Mapping[str, Any]  # {"estimate", "n", …}


def gain(rate: Figure) -> tuple[float, float]:
    """Return a win rate as log-odds with its standard error; half a win more on both sides, so that none is endless."""
    won, lost = rate["estimate"] * rate["n"] + 0.5, (1 - rate["estimate"]) * rate["n"] + 0.5
    return math.log(won / lost), math.sqrt(1 / won + 1 / lost)


def follow(before: Checkpoint, label: str, *, human: Figure, reward: Figure, kl: float) -> tuple[Checkpoint, float]:
    """Return where a gate puts its candidate, with the standard error of the step for people.

    `human` and `reward` are its win rates over the policy of before, `kl` its divergence from that. Gains add up as
    strengths of Bradley and Terry do, and √KL adds up along a way, as it is a length where steps are small.
    """
    by_people, error = gain(human)
    distance = before.distance + math.sqrt(max(0.0, kl))
    return Checkpoint(label, distance, before.proxy + gain(reward)[0], before.human + by_people), error


def along(errors: Sequence[float]) -> Error:
    """Return the error between any two checkpoints, of which each is a step from the one before."""
    return lambda first, second: math.sqrt(sum(one**2 for one in errors[first:second]))


SLOPES, FALLEN = "slopes", "fallen"


@dataclass(frozen=True)
class Sign:
    """What is wrong at a checkpoint: its place, the rule that says so, and where people's score was best."""

    at: int
    rule: str
    best: int


def sign(points: Sequence[Checkpoint], error: Error, *, errors: float = ERRORS) -> Sign | None:
    """Return what is wrong at the newest checkpoint; None where nothing is shown.

    Either the proxy rose over the last three and people's score fell, or people's score lies below its highest; by more
    than `errors` standard errors of the difference. Over equal steps the slope of three points is half the last less
    the first.
    """
    at = len(points) - 1
    if at < 1:
        return None
    best = max(range(len(points)), key=lambda place: points[place].human)
    if at >= WINDOW - 1:
        first = at - WINDOW + 1
        fall = points[at].human - points[first].human
        if points[at].proxy > points[first].proxy and fall + errors * error(first, at) < 0:
            return Sign(at, SLOPES, best)
    if best < at and points[at].human - points[best].human + errors * error(best, at) < 0:
        return Sign(at, FALLEN, best)
    return None


def first_sign(points: Sequence[Checkpoint], error: Error, *, errors: float = ERRORS) -> Sign | None:
    """Return the first sign on the way, as it would have been seen then."""
    for end in range(2, len(points) + 1):
        if found := sign(points[:end], error, errors=errors):
            return found
    return None


@dataclass(frozen=True)
class Curve:
    """Gold over the distance, fitted: α and β, where it is best, and how far the points lie from it (root mean square).

    `best` is None where gold rises without end, as β is not positive.
    """

    way: str
    alpha: float
    beta: float
    best: float | None
    off: float

    def at(self, distance: float) -> float:
        return _form(self.way, distance)[0] * self.alpha - _form(self.way, distance)[1] * self.beta


def _form(way: str, distance: float) -> tuple[float, float]:
    """Return what α and −β are multiplied by."""
    if way == BEST_OF_N:
        return distance, distance**2
    return distance, distance * math.log(distance) if distance > 0 else 0.0


def fitted(distances: Sequence[float], gold: Sequence[float], *, way: str) -> Curve | None:
    """Return the curve through gold less that of the first policy, by least squares; None with fewer than three points.

    It is linear in α and β, so the two normal equations give it.
    """
    rows = [(*_form(way, d), y) for d, y in zip(distances, gold, strict=True) if d > 0]
    if len(rows) < LEAST:
        return None
    aa, ab, bb = (sum(one[i] * one[j] for one in rows) for i, j in ((0, 0), (0, 1), (1, 1)))
    ay, by = (sum(one[i] * one[2] for one in rows) for i in (0, 1))
    determinant = aa * bb - ab * ab
    if determinant <= 1e-12 * aa * bb:
        return None
    alpha, beta = (ay * bb - by * ab) / determinant, (ay * ab - by * aa) / determinant
    best = None
    if beta > 0 and way == BEST_OF_N and alpha > 0:
        best = alpha / (2 * beta)
    elif beta > 0 and way == RL:
        best = math.exp(alpha / beta - 1)
    off = math.sqrt(fmean((alpha * one[0] - beta * one[1] - one[2]) ** 2 for one in rows))
    return Curve(way, alpha, beta, best, off)
