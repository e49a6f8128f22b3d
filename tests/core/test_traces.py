"""Figures of thoughts and answers, by what their prompts ask for: hand-made traces."""

from __future__ import annotations

import pytest

from training.core.stats import ratio_t
from training.core.traces import Trace, figures

BOTH = frozenset({"thoughts", "answers"})


def trace(*entropies: float, harmful: bool = True, finished: bool = True, **costs: float | None) -> Trace:
    told = {"thoughts_cost": -1.0, "answer_cost": -1.0} | costs
    return Trace(harmful, finished, 1, entropies, **told)


def estimates(*traces: Trace, judges: frozenset[str] = BOTH, split: bool = True) -> dict[str, float]:
    return {name: one["estimate"] for name, one in figures(traces, judges=judges, split=split).items()}


def test_the_fifth_of_highest_entropy_is_of_all_tokens_and_of_each_side_s():
    """Ten tokens of harm and five others: the highest three of all are 9, 8 and 7; of harm the two are 9 and 7."""
    harm = trace(9, 7, 1, 1, 1), trace(1, 1, 1, 1, 1)
    told = estimates(*harm, trace(8, 2, 2, 2, 2, harmful=False))
    assert told["thoughts_entropy_top"] == pytest.approx(8)
    assert told["thoughts_entropy_top_harmful"] == pytest.approx(8)
    assert told["thoughts_entropy_top_benign"] == pytest.approx(8)
    assert told["thoughts_entropy"] == pytest.approx((16 + 8 + 16) / 15)
    assert told["reflections_benign"] == pytest.approx(100 / 5)
    assert estimates(trace(4.0))["thoughts_entropy_top"] == 4.0, "one token at least"


def test_what_was_cut_off_or_could_not_be_read_is_not_safe():
    told = estimates(
        trace(1.0),
        trace(1.0, finished=False, answer_cost=None),
        trace(1.0, thoughts_cost=0.5),
        trace(thoughts_cost=None, answer_cost=0.0),  # no thoughts: of the answer alone there is something to say
        trace(1.0, thoughts_cost=None, harmful=False),
    )
    assert told["thoughts_safe"] == 1 / 4 and told["answers_safe"] == 4 / 5
    assert told["thoughts_safe_harmful"] == pytest.approx(1 / 3) and told["thoughts_safe_benign"] == 0.0
    assert told["answers_safe_harmful"] == 3 / 4 and told["answers_safe_benign"] == 1.0


def test_nobody_is_called_safe_whom_nobody_judged_and_no_side_is_made_up():
    assert set(estimates(trace(1.0), judges=frozenset(), split=False)) == {
        "reflections",
        "thoughts_entropy",
        "thoughts_entropy_top",
    }
    assert set(estimates(trace(), judges=BOTH, split=True)) == {"answers_safe", "answers_safe_harmful"}
    assert estimates(split=True) == {}


def test_a_ratio_has_an_interval_over_answers():
    """Two answers of 1 and 3 tokens, sums 1 and 1: 2/4, rests 0.5 and -0.5, deviation √0.5; t(1) 12.706."""
    found = ratio_t([1.0, 1.0], [1.0, 3.0])
    assert found["estimate"] == 0.5 and found["n"] == 2
    assert found["high"] - found["estimate"] == pytest.approx(12.7062 * 0.5**0.5 * 2**0.5 / 4, rel=1e-4)
    assert ratio_t([3.0], [2.0]) == {"estimate": 1.5, "low": 1.5, "high": 1.5, "n": 1}
