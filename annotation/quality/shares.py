"""Shares and their intervals. Plain Python."""

from __future__ import annotations

import math
from dataclasses import dataclass

# Two-sided 95 % of the normal distribution.
Z = 1.959963984540054


@dataclass(frozen=True)
class Share:
    """A share with its 95 % interval (Wilson); all None where there are no cases."""

    estimate: float | None
    low: float | None
    high: float | None
    n: int

    def excludes(self, value: float) -> bool:
        """Return whether `value` lies outside the interval."""
        return self.low is not None and self.high is not None and not self.low <= value <= self.high


def share(times: float, n: int) -> Share:
    """Return `times` out of `n`; halves count for ties."""
    low, high = wilson(times, n)
    return Share(times / n if n else None, low, high, n)


def wilson(wins: float, n: int) -> tuple[float | None, float | None]:
    """Return the 95 % interval of a share (Wilson 1927, JASA 22, p. 209); (None, None) without cases.

    `wins` may hold halves for ties.
    """
    if n == 0:
        return None, None
    estimate = wins / n
    centre = estimate + Z * Z / (2 * n)
    spread = Z * math.sqrt(estimate * (1 - estimate) / n + Z * Z / (4 * n * n))
    scale = 1 + Z * Z / n
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
