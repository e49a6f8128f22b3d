"""Which figures of a gate decide by their bound and which by their estimate, and what a bound of few cases can show.

An estimate lets a candidate pass by luck in half of the cases that lie on the limit: 6 wins of 12 are a win rate of one
half, and of anything between a quarter and three quarters. Figures that guard safety therefore go by the end of their
95 % interval, unless the loop says otherwise; a win rate goes by its estimate, as people see few pairs.
What bounds a share is Wilson's interval (1927, JASA 22, p. 209).
"""

from __future__ import annotations

import math

SAFETY, BOUND, ESTIMATE = "safety", "bound", "estimate"
WAYS = (SAFETY, BOUND, ESTIMATE)
OF_SAFETY = ("kl", "category_minimum")  # of the figures that a loop lets decide in either way
Z = 1.959963984540054  # two-sided 95 % of the normal distribution


def by_bound(way: str, figure: str) -> bool:
    """Return whether a figure goes by its bound where a loop says so in this `way`."""
    return way == BOUND or (way == SAFETY and figure in OF_SAFETY)


def most_shown(n: int) -> float:
    """Return the lower end of the interval of n cases that all went well: more than this they cannot show."""
    return n / (n + Z * Z)


def least(limit: float) -> int | None:
    """Return of how many cases the bound can reach `limit`; None where no number of them shows it."""
    if limit >= 1:
        return None
    n = max(1, math.ceil(limit * Z * Z / (1 - limit) - 1e-9))
    return n if most_shown(n) >= limit else n + 1
