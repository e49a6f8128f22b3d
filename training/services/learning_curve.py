"""What the next labels are worth: how held-out accuracy grew with the pairs that reward models were trained on.

An inverse power law, accuracy(n) = a - b·n^(-c), is fitted to one point a model (R. L. Figueroa et al., "Predicting
sample size required for classification performance", BMC Medical Informatics and Decision Making 12:8, 2012, eq. 1),
each weighted by its standard error. Where we depart from the paper: they fit by non-linear least squares; for each c of
a grid the best a and b are those of a weighted straight line in n^(-c), so we take the best of them all, with
½ ≤ a ≤ 1 and b ≥ 0: no labels make it worse, and guessing gets half of all pairs right. Their interval is the spread of
a cross-validation; ours is the middle 95 per cent of fits to points drawn anew from their own standard errors.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from annotation.models import Campaign
from training.models import ModelVersion, Run

NEXT = 500  # labels
LEAST = 4  # models trained on different numbers of pairs: one more than the curve has numbers
RESAMPLES = 200
EXPONENTS = tuple(step / 20 for step in range(2, 41))  # 0.1 … 2


@dataclass(frozen=True)
class Point:
    pairs: int  # that the model was trained on
    accuracy: float  # on prompts it was not trained on
    error: float  # standard error of that
    label: str = ""  # of the model


@dataclass(frozen=True)
class Curve:
    a: float  # where it would end
    b: float
    c: float

    def at(self, pairs: float) -> float:
        return self.a - self.b * pairs**-self.c


@dataclass(frozen=True)
class Forecast:
    """What accuracy was, and will be after `NEXT` more pairs; all None where `undefined` says why."""

    points: list[Point] = field(default_factory=list)
    recipe: str = ""
    now: float | None = None  # of the curve, at the most pairs there were
    then: float | None = None
    gain: float | None = None
    low: float | None = None  # of the gain, 95 %
    high: float | None = None
    undefined: str = ""  # "few", or "none"


def forecast(points: Sequence[Point], *, recipe: str = "", seed: int = 0) -> Forecast:
    """Return what `NEXT` more pairs would bring, with its interval; undefined with fewer than `LEAST` sizes."""
    known = sorted(points, key=lambda point: point.pairs)
    if not known:
        return Forecast(undefined="none")
    if len({point.pairs for point in known}) < LEAST:
        return Forecast(known, recipe, undefined="few")
    most = known[-1].pairs
    curve = fit(known)
    dice = random.Random(seed)
    gains = []
    for _ in range(RESAMPLES):
        drawn = [
            Point(point.pairs, min(1.0, max(0.0, dice.gauss(point.accuracy, point.error))), point.error)
            for point in known
        ]
        of_drawn = fit(drawn)
        gains.append(of_drawn.at(most + NEXT) - of_drawn.at(most))
    gains.sort()
    now, then = curve.at(most), curve.at(most + NEXT)
    low, high = gains[round(0.025 * (RESAMPLES - 1))], gains[round(0.975 * (RESAMPLES - 1))]
    return Forecast(known, recipe, now, then, then - now, low, high)


def fit(points: Sequence[Point]) -> Curve:
    """Return the curve with the least weighted squares; `points` need two different numbers of pairs at least."""
    best, least = Curve(0.5, 0.0, 1.0), math.inf
    weights = [1 / max(point.error, 1e-3) ** 2 for point in points]
    total = sum(weights)
    level = sum(w * point.accuracy for w, point in zip(weights, points, strict=True)) / total
    for c in EXPONENTS:
        xs = [point.pairs**-c for point in points]
        middle = sum(w * x for w, x in zip(weights, xs, strict=True)) / total
        spread = sum(w * (x - middle) ** 2 for w, x in zip(weights, xs, strict=True))
        joint = sum(
            w * (x - middle) * (point.accuracy - level) for w, x, point in zip(weights, xs, points, strict=True)
        )
        b = max(0.0, -joint / spread)
        a = level + b * middle
        if a > 1.0 or a < 0.5:  # the best on the edge: a is given, b follows
            a = min(1.0, max(0.5, a))
            lever = sum(w * x * x for w, x in zip(weights, xs, strict=True))
            b = max(0.0, sum(w * x * (a - p.accuracy) for w, x, p in zip(weights, xs, points, strict=True)) / lever)
        curve = Curve(a, b, c)
        squares = sum(w * (p.accuracy - curve.at(p.pairs)) ** 2 for w, p in zip(weights, points, strict=True))
        if squares < least - 1e-12:
            best, least = curve, squares
    return best


def of_campaign(campaign: Campaign) -> Forecast:
    """Return the forecast from the campaign's reward models, of the recipe that trained most of them. One statement."""
    runs = (
        Run.objects.filter(campaign=campaign, kind=Run.Kind.FIT, state=Run.State.SUCCEEDED)
        .filter(output__kind=ModelVersion.Kind.REWARD, snapshot__isnull=False)
        .order_by("pk")
        .values_list("recipe__name", "snapshot__rows", "result__counts", "output__metrics", "output__number")
    )
    by_recipe: dict[str, list[Point]] = defaultdict(list)
    for recipe, rows, counts, metrics, number in runs:
        measured = (metrics or {}).get("eval_accuracy")
        if isinstance(measured, dict) and isinstance(measured.get("estimate"), (int, float)) and measured.get("n"):
            share, n = float(measured["estimate"]), int(measured["n"])
            pairs = int((counts or {}).get("trained_on") or rows)
            # Of a share of 0 or 1 too there is something unsure; Agresti and Coull add two of each.
            near = (share * n + 2) / (n + 4)
            error = math.sqrt(near * (1 - near) / (n + 4))
            by_recipe[recipe].append(Point(max(1, pairs), share, error, f"reward-{number}"))
    if not by_recipe:
        return forecast([])
    recipe = max(by_recipe, key=lambda name: len({point.pairs for point in by_recipe[name]}))
    return forecast(by_recipe[recipe], recipe=recipe)
