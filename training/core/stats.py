"""Intervals. Plain Python: figures come as ``{"estimate", "low", "high", "n"}``, as a run's result stores them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from statistics import NormalDist, fmean, stdev

Interval = dict[str, float]


def interval(estimate: float, low: float, high: float, n: int) -> Interval:
    return {"estimate": estimate, "low": low, "high": high, "n": n}


def wilson(successes: float, n: int, *, confidence: float = 0.95) -> Interval:
    """Return the Wilson score interval of a rate; ties may count as half a success.

    E. B. Wilson, 1927: (p + z²/2n ± z·√(p(1-p)/n + z²/4n²)) / (1 + z²/n). Unlike p ± z·s it never leaves [0, 1] and
    has a width where all n trials agree.
    """
    if n == 0:
        return interval(0.5, 0.0, 1.0, 0)
    p = successes / n
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(max(p * (1 - p), 0.0) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # At p = 0 and p = 1 the ends are exactly 0 and 1; rounding must not push them past the estimate.
    return interval(p, min(max(0.0, centre - half), p), max(min(1.0, centre + half), p), n)


@lru_cache(maxsize=1024)
def t_quantile(probability: float, df: int) -> float:
    """Return the quantile of Student's t with `df` degrees of freedom, by bisection on its distribution function."""
    if not 0 < probability < 1 or df < 1:
        raise ValueError("A quantile needs a probability between 0 and 1 and at least one degree of freedom.")
    if probability < 0.5:
        return -t_quantile(1 - probability, df)
    high = 1.0
    while _t_cdf(high, df) < probability:
        high *= 2
    return _where(lambda t: _t_cdf(t, df), probability, high)


@lru_cache(maxsize=1024)
def beta_quantile(probability: float, a: float, b: float) -> float:
    """Return the quantile of the beta distribution with parameters `a` and `b`, both above 0."""
    if not 0 < probability < 1 or a <= 0 or b <= 0:
        raise ValueError("A quantile needs a probability between 0 and 1 and two positive parameters.")
    return _where(lambda x: _incomplete_beta(a, b, x), probability, 1.0)


def _where(function: Callable[[float], float], value: float, high: float) -> float:
    """Return where a rising function, between 0 and `high`, takes a value: by bisection to the last bit."""
    low = 0.0
    while low < (middle := (low + high) / 2) < high:
        if function(middle) < value:
            low = middle
        else:
            high = middle
    return middle


def _t_cdf(t: float, df: int) -> float:
    """Return P(T ≤ t) for t ≥ 0: 1 - I_x(df/2, 1/2)/2 with x = df/(df + t²)."""
    return 1 - 0.5 * _incomplete_beta(df / 2, 0.5, df / (df + t * t))


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), by its continued fraction (Lentz)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    tiny = 1e-300
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or tiny)
    total = d
    for m in range(1, 300):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / (1 + term * d or tiny)
            c = 1 + term / c or tiny
            total *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return front * total / a


def mean_t(
    values: Sequence[float], *, confidence: float = 0.95, within: tuple[float, float] = (-math.inf, math.inf)
) -> Interval:
    """Return the mean with Student's t interval; without a width when there is only one value.

    `within` are the bounds of what the values can be: a mean cannot lie beyond them, so no end of the interval does,
    which of few values t alone would let happen.
    """
    mean = fmean(values)
    if len(values) < 2:
        return interval(mean, mean, mean, len(values))
    half = t_quantile(0.5 + confidence / 2, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    least, most = within
    # Rounding may put the mean itself past a bound by its last bit; the ends stay on their sides of it.
    return interval(mean, min(max(mean - half, least), mean), max(min(mean + half, most), mean), len(values))


def ratio_t(sums: Sequence[float], counts: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """Return Σ sums / Σ counts with an interval by Student's t over the pairs, of the ratio's linearisation.

    For a mean over tokens, which come in answers: those of one answer are not independent of each other.
    """
    size, n = math.fsum(counts), len(counts)
    ratio = math.fsum(sums) / size
    if n < 2:
        return interval(ratio, ratio, ratio, n)
    rest = [value - ratio * count for value, count in zip(sums, counts, strict=True)]
    half = t_quantile(0.5 + confidence / 2, n - 1) * stdev(rest) * math.sqrt(n) / size
    return interval(ratio, ratio - half, ratio + half, n)


def bootstrap_mean(values: Sequence[float], *, confidence: float = 0.95, draws: int = 2000, seed: int = 0) -> Interval:
    """Return the mean with its percentile bootstrap interval: for skewed values, where t promises too much."""
    mean = fmean(values)
    draw = random.Random(seed)
    means = sorted(fmean(draw.choices(values, k=len(values))) for _ in range(draws))
    tail = (1 - confidence) / 2
    low, high = means[int(tail * draws)], means[min(int((1 - tail) * draws), draws - 1)]
    return interval(mean, low, high, len(values))


def accuracy_by_prompt(prompts: Sequence[str], correct: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """Return the mean over prompts of each prompt's share of right pairs, with Wilson's interval over prompts.

    Pairs of one prompt are not independent of each other; counting them all would make the interval too narrow.
    """
    groups: dict[str, list[float]] = {}
    for prompt, value in zip(prompts, correct, strict=True):
        groups.setdefault(prompt, []).append(value)
    return wilson(sum(fmean(group) for group in groups.values()), len(groups), confidence=confidence)


def all_right_by_prompt(prompts: Sequence[str], correct: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """Return the share of prompts every pair of which is right, with Wilson's interval over prompts.

    MM-RLHF's ACC+, arXiv:2502.10391: a mean hides a model that puts one answer of nearly every prompt in the wrong
    place. A tie is not right.
    """
    groups: dict[str, bool] = {}
    for prompt, value in zip(prompts, correct, strict=True):
        groups[prompt] = groups.get(prompt, True) and value == 1.0
    return wilson(sum(groups.values()), len(groups), confidence=confidence)


def difference(one: Interval, other: Interval) -> Interval:
    """Return the difference of two independent rates, with the interval of Newcombe (1998), his method 10.

    The distances to the rates' own limits are added as squares; with Wilson's intervals it keeps its coverage for rates
    near 0 and 1, where the usual one does not.
    """
    gap = one["estimate"] - other["estimate"]
    down = math.hypot(one["estimate"] - one["low"], other["high"] - other["estimate"])
    up = math.hypot(one["high"] - one["estimate"], other["estimate"] - other["low"])
    return interval(gap, gap - down, gap + up, int(min(one["n"], other["n"])))
