"""The best-of-n curve: worked out by hand on one prompt, and drawn from a tiny policy by one command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.core.evaluate.best_of import curve
from training.core.filter_trust import advised


def test_gains_are_in_standard_deviations_over_a_single_answer():
    """Proxy 0 1 2 3, gold 3 2 1 0. The best of 2 by the proxy: ranks 2, 3, 4 with weights 1/6, 2/6, 3/6, so gold
    (2·1 + 1·2 + 0·3)/6 = 2/3, proxy 7/3. The mean is 3/2, the deviation √1.25."""
    points = curve([{"reward": [0.0, 1.0, 2.0, 3.0], "gold": [3.0, 2.0, 1.0, 0.0]}] * 2, confidence=0.95)
    assert [point["n"] for point in points] == [1, 2, 4]
    unit = 1.25**0.5
    assert points[0]["reward"]["estimate"] == pytest.approx(0, abs=1e-9)
    assert points[1]["reward"]["estimate"] == pytest.approx((7 / 3 - 1.5) / unit)
    assert points[1]["gold"]["estimate"] == pytest.approx((2 / 3 - 1.5) / unit)
    assert points[2]["gold"]["estimate"] == pytest.approx(-1.5 / unit) and points[2]["kl"] > points[1]["kl"]


def test_a_tiny_policy_has_a_curve(do, policy, reward):
    scorers = {"reward": str(reward), "gold": str(reward)}
    spec, result = do("best-of-n", model=policy, scorers=scorers, samples_per_prompt=6, max_new_tokens=4)
    points = json.loads((Path(spec.output) / "curve.json").read_text())["points"]
    assert [point["n"] for point in points] == [1, 2, 4, 6]
    # A prompt with an empty answer, which no model can read, is left out.
    assert 15 < result.counts["measured"] <= result.counts["prompts"] == 23
    # The judge is the model that chooses: what is chosen can only become better by it.
    assert points[-1]["gold"] == points[-1]["reward"] and points[-1]["gold"]["low"] > 0
    assert result.metrics["best_n"] == 6
    # It tells all of its own worth, whatever is kept.
    assert {f"trust_{name}" for name in ("all", "best_and_random", "best_and_worst")} <= set(result.metrics)
    assert result.metrics["trust_all"]["estimate"] == pytest.approx(1)
    assert any("no filter helps" in str(note) for note in result.notes)


def test_the_filter_whose_rewards_tell_most_is_named():
    """The reward is right about the ends of 0 to 3 and has the middle the wrong way round."""
    told, (said,) = advised([([0.0, 1.0, 2.0, 3.0], [0.0, 2.0, 1.0, 3.0])] * 4, confidence=0.95)
    assert told["trust_best_and_worst"]["estimate"] == pytest.approx(1)
    assert told["trust_all"]["estimate"] == pytest.approx(0.64) and "trust_best" not in told
    assert "by the filter best-and-worst are kept: R² 1.00, of all 0.64" in str(said)
