"""Rank correlations with their intervals: Spearman's, and the partial one, other things held fixed. Plain Python."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

DRAWS = 1000
LEAST = 3  # pairs without which there is no ρ
NORMAL = 1.959963984540054  # 0.975 quantile
ROUNDING = 1e-9


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
    return _cosine(_centred(first), _centred(second))


def partial(first: Sequence[float], second: Sequence[float], *given: Sequence[float]) -> Rho:
    """Return what is left of the ranks' correlation once those of `given` are held fixed.

    It is Pearson's correlation of what the ranks of `given` do not explain of both, by least squares. A `given` that is
    constant, or told by those before it, holds nothing. The interval is Fisher's with the variance of D. Bonett and
    T. Wright ("Sample size requirements for estimating Pearson, Kendall and Spearman correlations", 2000), and one
    observation less for each of `given`.
    """
    n = len(first)
    held: list[list[float]] = []
    for one in given:
        rest = _without(_centred(one), held)
        if _product(rest, rest) > ROUNDING * n**3:
            held.append(rest)
    sides = [_without(_centred(one), held) for one in (first, second)]
    told = any(_product(one, one) <= ROUNDING * n**3 for one in sides)
    spare = n - len(held) - 3
    rho = None if told or spare < 1 else _cosine(*sides)
    if rho is None:
        return Rho(None, None, None, n)
    if abs(rho) > 1 - ROUNDING:
        return Rho(rho, rho, rho, n)
    half = NORMAL * math.sqrt((1 + rho**2 / 2) / spare)
    return Rho(rho, math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half), n)


def _centred(values: Sequence[float]) -> list[float]:
    middle = (len(values) + 1) / 2
    return [one - middle for one in ranks(values)]


def _without(values: list[float], held: Sequence[list[float]]) -> list[float]:
    """Return the values less their projections on `held`, which are orthogonal."""
    for one in held:
        share = _product(values, one) / _product(one, one)
        values = [a - share * b for a, b in zip(values, one, strict=True)]
    return values


def _product(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _cosine(one: Sequence[float], other: Sequence[float]) -> float | None:
    wide = math.sqrt(_product(one, one) * _product(other, other))
    return _product(one, other) / wide if wide else None
