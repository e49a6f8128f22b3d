"""Error by position: worked out by hand on a scorer that is known, and drawn from a tiny policy."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.core.worlds import demonstration_rows
from training.core.evaluate import positions
from training.core.job import RunError
from training.core.scorers import Columns


class Letters:
    """A tokenizer of which a token is a letter."""

    def decode(self, ids, skip_special_tokens):
        return "".join(map(chr, ids))


class Counting:
    """A scorer that likes every a."""

    def columns(self, prompts, texts):
        scores = [float(text.count("a")) for text in texts]
        return Columns(("a",), [[one] for one in scores], [None] * len(texts), scores)


def letters(text):
    return list(map(ord, text))


def test_answers_are_told_apart_by_as_many_tokens_of_both():
    """The person writes aaaa. abab is the same by one token (½), less by two and by four (1). By eight nothing is new.

    Of two draws bb and aaaa, the first is told by one token, the second never: the mean is ¾.
    """
    policy = SimpleNamespace(tokenizer=Letters())
    asked = [SimpleNamespace(ids=letters("aaaa"), record=SimpleNamespace(prompt=[]))] * 2
    own = [[letters("abab")], [letters("bb"), letters("aaaa")]]
    found = [
        positions._told_apart(policy, asked, own, Counting(), before, bound)
        for before, bound in ((0, 1), (1, 2), (2, 4), (4, 8))
    ]
    assert found == [[0.5, 0.75], [1.0, 0.75], [1.0, 0.75], [None, None]]


def test_positions_double_up_to_the_last_one():
    assert (
        positions.bounds(12) == [1, 2, 4, 8, 12] and positions.bounds(1) == [1] and positions.bounds(8)[-2:] == [4, 8]
    )


def test_growth_is_of_prompts_that_have_both_ends():
    """Two prompts go from ½ to 1 and from 0 to ½; the third has no end. First ¼, last ¾, growth ½."""
    found = positions._growth({1: [0.5, 0.0, 1.0], 4: [1.0, 0.5, None]}, "", confidence=0.95)
    assert [found[name]["estimate"] for name in ("told_first", "told_last", "told_growth")] == [0.25, 0.75, 0.5]
    assert found["told_growth"]["low"] == 0.5 and found["told_growth"]["n"] == 2
    assert positions._growth({1: [0.5, 0.5]}, "", confidence=0.95) == {}


def test_a_policy_is_measured_beside_the_imitation_it_began_from(do, policy, reward):
    rows = [*demonstration_rows(6), {"prompt": [], "completion": "none"}]
    small = {"samples_per_prompt": 2, "max_new_tokens": 6, "rows_at_once": 4}
    scorers, beside = {"reward": str(reward)}, {"imitation": str(policy)}
    spec, result = do("error-by-position", model=policy, scorers=scorers, beside=beside, rows=rows, **small)
    points = json.loads((Path(spec.output) / "positions.json").read_text())["points"]
    assert [point["position"] for point in points] == [1, 2, 4, 6]
    for point in points:
        assert point["told"] == point["told_imitation"] and point["surprise"] == point["surprise_imitation"]
        assert 0 <= point["told"]["estimate"] <= 1 and point["surprise"]["estimate"] > 0
    assert result.metrics["told_growth"] == result.metrics["told_growth_imitation"]
    assert result.counts["measured"] == len({json.dumps(row["prompt"]) for row in rows[:-1]})


def test_without_a_reward_model_or_demonstrations_it_says_what_it_needs(do, policy, reward):
    with pytest.raises(RunError, match="reward model that tells them apart"):
        do("error-by-position", model=policy, rows=demonstration_rows(2))
    with pytest.raises(RunError, match="at least 2 are needed"):
        do("error-by-position", into="b", model=policy, scorers={"reward": str(reward)}, rows=demonstration_rows(1))
