"""What choosing the best of n by a reward model gives, exactly, without resampling. arXiv:2310.02743, eq. 1."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from functools import lru_cache


def best_of_n(proxy: Sequence[float], gold: Sequence[float], n: int) -> float:
    """Return the expected gold of the best of `n` by the proxy, drawn without replacement from the N samples at hand.

    With the samples in order of the proxy it is Σ_{i=n}^{N} C(i-1, n-1)/C(N, n) · gold_(i), which has no bias. For n
    near N the few best decide it. Binomials are taken by log-gamma, so that large N does not overflow.
    """
    total = len(proxy)
    if not 1 <= n <= total or len(gold) != total:
        raise ValueError(f"The best of {n} cannot be had from {total} samples.")
    ordered = [g for _, g in sorted(zip(proxy, gold, strict=True), key=lambda pair: pair[0])]
    return sum(map(operator.mul, _chances(total, n), ordered[n - 1 :]))


@lru_cache(maxsize=64)
def _chances(total: int, n: int) -> tuple[float, ...]:
    """Return how likely the best of `n` is the i-th of `total` in order, for i from n: the same for all prompts."""
    whole = _log_choose(total, n)
    return tuple(math.exp(_log_choose(i - 1, n - 1) - whole) for i in range(n, total + 1))


def divergence(n: int) -> float:
    """Return KL(best of n ‖ policy) = log n - (n - 1)/n in nats; exact where no two samples are equal."""
    return math.log(n) - (n - 1) / n


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
