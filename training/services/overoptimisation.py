"""Whether a policy still becomes better for people as its reward rises. Plain Python.

Objective mismatch (arXiv:2311.00168) names the symptom; the pieces are standard: Spearman's ρ with a bootstrap, slopes
with their intervals, and the curve of gold over the distance d = √KL from the first policy, which is d(α − βd) for the
best of n and d(α − β log d) for reinforcement learning (arXiv:2210.10760, section 3.1). Thresholds are ours.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

WINDOW = 3  # checkpoints over which slopes are taken
# Standard errors of the difference by which people's score has to fall. An alarm is looked for at each checkpoint: over
# twelve of 200 votes each, two errors ring for 13 of 40 ways that stay at their best, three for none of them.
ERRORS = 3.0
DRAWS = 1000
LEAST = 3  # points without which there is no ρ and no curve
BEST_OF_N, RL = "best_of_n", "rl"


@dataclass(frozen=True)
class Rho:
    """Spearman's rank correlation with its 95 % interval; None where one side is constant or there are too few."""

    estimate: float | None
    low: float | None
    high: float | None
    n: int


def spearman(first: Sequence[float], second: Sequence[float], *, seed: int = 0) -> Rho:
    """Return the correlation of the ranks, ties at their mean rank; the interval by bootstrap over the pairs."""
    n = len(first)
    estimate = _rho(first, second) if n >= LEAST else None
    if estimate is None:
        return Rho(None, None, None, n)
    draw = random.Random(seed)
    found = []
    for _ in range(DRAWS):
        places = [draw.randrange(n) for _ in range(n)]
        one = _rho([first[i] for i in places], [second[i] for i in places])
        if one is not None:
            found.append(one)
    found.sort()
    return Rho(estimate, found[int(0.025 * len(found))], found[math.ceil(0.975 * len(found)) - 1], n)


def ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value from 1, the same for the same."""
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for place in order[start : end + 1]:
            found[place] = (start + end) / 2 + 1
        start = end + 1
    return found


def _rho(first: Sequence[float], second: Sequence[float]) -> float | None:
    one, other = ranks(first), ranks(second)
    middle = (len(one) + 1) / 2
    across = sum((a - middle) * (b - middle) for a, b in zip(one, other, strict=True))
    wide = math.sqrt(sum((a - middle) ** 2 for a in one) * sum((b - middle) ** 2 for b in other))
    return across / wide if wide else None


@dataclass(frozen=True)
class Checkpoint:
    """A policy on its way: how far it is from the first, and what the reward model and people say of it."""

    label: str
    distance: float  # √KL from the first, in √nats
    proxy: float
    human: float


# The standard error of people's score of one checkpoint less that of an earlier one, by their places.
Error = Callable[[int, int], float]

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
