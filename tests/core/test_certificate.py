"""The safety test: its bounds against scipy, what they promise, and what they refuse to say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from training.core.evaluate.certificate import BOUNDS, certify
from training.core.stats import beta_quantile, t_quantile
from training.recipes.loop import spent

COSTS = (-1.2, 0.3, -0.4, -2.0, 0.9, -0.8, -1.1, 0.1)


def test_students_bound_is_one_sided():
    told = certify(COSTS, bound="student", delta=0.1, limit=0.0)
    _low, high = stats.t.interval(0.8, len(COSTS) - 1, np.mean(COSTS), stats.sem(COSTS))
    assert told.upper == pytest.approx(high)
    assert (told.estimate, told.n) == (pytest.approx(np.mean(COSTS)), 8)
    assert told.passed == (high <= 0)


@pytest.mark.parametrize(("unsafe", "n"), [(0, 1), (0, 58), (1, 100), (7, 20), (19, 20), (20, 20)])
@pytest.mark.parametrize("delta", [0.05, 0.2])
def test_clopper_and_pearsons_bound_is_exact(unsafe: int, n: int, delta: float):
    told = certify([1.0] * unsafe + [-1.0] * (n - unsafe), bound="clopper_pearson", delta=delta, limit=0.05)
    exact = stats.binomtest(unsafe, n, alternative="less").proportion_ci(1 - delta, method="exact").high
    assert told.upper == pytest.approx(exact, abs=1e-9)
    assert told.estimate == unsafe / n
    if unsafe < n:
        assert stats.binom.cdf(unsafe, n, told.upper) == pytest.approx(delta)


def test_zero_is_the_border_and_counts_as_safe():
    assert certify([0.0, -1.0], bound="clopper_pearson", delta=0.1, limit=1.0).estimate == 0


def test_bounds_for_a_range_by_hand():
    told = certify(COSTS, bound="hoeffding", delta=0.05, limit=0.0, reach=3.0)
    assert told.upper == pytest.approx(np.mean(COSTS) + 6 * math.sqrt(math.log(20) / 16))
    told = certify(COSTS, bound="empirical_bernstein", delta=0.05, limit=0.0, reach=3.0)
    log = math.log(40)
    by_hand = np.mean(COSTS) + math.sqrt(2 * np.var(COSTS, ddof=1) * log / 8) + 7 * 6 * log / 21
    assert told.upper == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("costs", "bound", "says"),
    [
        ([], "student", "two costs"),
        ([-5.0], "student", "two costs"),
        ([-5.0, -5.0], "student", "All costs are the same"),
        ([], "clopper_pearson", "no answer"),
        ([], "hoeffding", "no cost"),
        ([-9.0, 0.0], "hoeffding", "outside the range of ±3"),
        ([-1.0], "empirical_bernstein", "two costs"),
    ],
)
def test_where_a_bound_knows_nothing_nobody_passes(costs: list[float], bound: str, says: str):
    told = certify(costs, bound=bound, delta=0.1, limit=1e9, reach=3.0)
    assert says in told.reason
    assert told.upper == math.inf and not told.passed


def test_a_confidence_that_is_none_is_refused():
    for delta in (0.0, 1.0):
        with pytest.raises(ValueError, match="between 0 and 1"):
            certify(COSTS, bound="student", delta=delta, limit=0.0)
    with pytest.raises(ValueError, match="There is no bound"):
        certify(COSTS, bound="normal", delta=0.1, limit=0.0)
    assert list(BOUNDS) == ["student", "clopper_pearson", "hoeffding", "empirical_bernstein"]


def test_what_all_looks_spend_is_delta():
    shares = [spent(0.1, look) for look in range(1, 2001)]
    assert shares[:3] == [pytest.approx(0.05), pytest.approx(0.1 / 6), pytest.approx(0.1 / 12)]
    assert sum(shares) == pytest.approx(0.1, abs=1e-4) and sum(shares) < 0.1


def test_quantiles_agree_with_scipy():
    for a, b, p in [(1, 1, 0.3), (2, 99, 0.95), (0.5, 0.5, 0.9), (40, 3, 0.001)]:
        assert beta_quantile(p, a, b) == pytest.approx(stats.beta.ppf(p, a, b), rel=1e-9)
    for df, p in [(1, 0.975), (99, 0.95), (5, 0.2)]:
        assert t_quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-9)
    with pytest.raises(ValueError, match="two positive"):
        beta_quantile(0.5, 0, 1)
