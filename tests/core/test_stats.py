"""Intervals against known numbers."""

from __future__ import annotations

import math

import pytest
from scipy import stats as oracle

from training.core.stats import accuracy_by_prompt, all_right_by_prompt, bootstrap_mean, mean_t, t_quantile, wilson


def test_wilson_by_hand():
    """8 of 10, z = 1.96: centre (0.8 + 0.19208)/1.38416 = 0.71674, half 0.22659 ⇒ 0.4902 to 0.9433."""
    found = wilson(8, 10)
    assert found["estimate"] == 0.8 and found["n"] == 10
    assert found["low"] == pytest.approx(0.4902, abs=1e-4) and found["high"] == pytest.approx(0.9433, abs=1e-4)


def test_wilson_has_a_width_at_the_ends_and_none_beyond():
    assert wilson(5, 5)["high"] == 1.0 and wilson(5, 5)["low"] < 0.7
    assert wilson(0, 5)["low"] == 0.0 and wilson(0, 5)["high"] > 0.3
    assert (wilson(0, 0)["low"], wilson(0, 0)["high"]) == (0.0, 1.0)


@pytest.mark.parametrize("df", [1, 2, 5, 30, 1000])
@pytest.mark.parametrize("p", [0.025, 0.5, 0.9, 0.975, 0.9995])
def test_quantiles_are_the_oracle_s(df, p):
    assert t_quantile(p, df) == pytest.approx(oracle.t.ppf(p, df), rel=1e-8, abs=1e-12)


def test_mean_t_by_hand():
    """1, 2, 3: mean 2, s = 1, t(0.975; 2) = 4.302653 ⇒ 2 ± 2.48414."""
    found = mean_t([1.0, 2.0, 3.0])
    assert found["low"] == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-5)
    assert mean_t([1.5])["low"] == mean_t([1.5])["high"] == 1.5


def test_an_interval_ends_where_its_values_do():
    """1, 0.9, 0.2: mean 0.7, s = 0.43589, half 1.08281, so t alone would say -0.38281 to 1.78281 of a share."""
    shares = [1.0, 0.9, 0.2]
    free, kept = mean_t(shares), mean_t(shares, within=(0.0, 1.0))
    assert free["low"] == pytest.approx(-0.38281, abs=1e-4) and free["high"] == pytest.approx(1.78281, abs=1e-4)
    assert (kept["estimate"], kept["low"], kept["high"]) == (free["estimate"], 0.0, 1.0)
    assert mean_t([0.4, 0.5, 0.6], within=(0.0, 1.0)) == mean_t([0.4, 0.5, 0.6])
    past = mean_t([1 + 1e-12] * 3, within=(0.0, 1.0))
    assert past["low"] <= past["estimate"] <= past["high"]


def test_bootstrap_repeats_itself_and_covers_the_mean():
    values = [0.0] * 50 + [1.0] * 50
    found = bootstrap_mean(values, seed=3)
    assert found == bootstrap_mean(values, seed=3)
    assert found["low"] < 0.5 < found["high"] and 0.15 < found["high"] - found["low"] < 0.25


def test_a_prompt_is_right_when_every_pair_of_it_is():
    """ACC+: of three prompts one has a wrong pair and one a tie."""
    found = all_right_by_prompt(["a", "b", "a", "c", "a", "b"], [1.0, 1.0, 0.0, 0.5, 1.0, 1.0])
    assert (found["estimate"], found["n"]) == (pytest.approx(1 / 3), 3)
    assert found == wilson(1, 3)


def test_pairs_of_one_prompt_count_once():
    """Three pairs of one prompt, two right; one of another, right: (2/3 + 1)/2 of n = 2, not 3 of 4."""
    found = accuracy_by_prompt(["a", "a", "a", "b"], [1.0, 1.0, 0.0, 1.0])
    assert found["estimate"] == pytest.approx(5 / 6) and found["n"] == 2
