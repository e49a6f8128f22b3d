"""Which pair is asked about: rules by hand, never two equal texts, and an audit slice that no rule touches."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.core.selection import CHOOSERS, audit_slice, choose_pair
from training.errors import TrainingError
from training.recipes.sampling import RULES

TEXTS = ["a", "b", "c", "d"]
SCORES = [0.1, 2.0, -3.0, 1.6]


def chosen(selection: str, texts=TEXTS, scores=SCORES, seed=0):
    return choose_pair(texts, scores, selection=selection, rng=random.Random(seed))


def test_rules_by_hand():
    """Best is b (2.0), worst c (-3.0); the gaps in order are 3.1, 1.5 and 0.4, so d and b are nearest."""
    pair, rule = chosen("best_worst")
    assert set(pair) == {1, 2} and rule == "best_worst"
    pair, rule = chosen("most_uncertain")
    assert set(pair) == {1, 3} and rule == "most_uncertain"


def test_order_in_the_pair_says_nothing():
    firsts = [chosen("best_worst", seed=s)[0][0] for s in range(400)]
    assert 160 < firsts.count(1) < 240 and set(firsts) == {1, 2}


def test_random_reaches_every_pair():
    pairs = {frozenset(chosen("random", seed=s)[0]) for s in range(200)}
    assert len(pairs) == 6


@pytest.mark.parametrize("scores", [None, [1.0] * 4, [1.0, 2.0, float("nan"), 0.0], [1.0, float("inf"), 0.0, 2.0]])
def test_without_usable_scores_the_rule_is_random_and_says_so(scores):
    pairs = {frozenset(chosen("best_worst", scores=scores, seed=s)[0]) for s in range(200)}
    assert len(pairs) == 6 and chosen("best_worst", scores=scores)[1] == "random"


def test_unknown_rule_is_refused():
    with pytest.raises(TrainingError, match="best_worst"):
        chosen("best")


@given(
    st.lists(st.tuples(st.sampled_from(["x", "x ", " x", "y", "y\n", "z"]), st.floats(-5, 5)), min_size=1, max_size=8),
    st.sampled_from(sorted(CHOOSERS)),
    st.integers(0, 5),
)
def test_equal_texts_are_never_paired(rows, selection, seed):
    texts, scores = [t for t, _ in rows], [s for _, s in rows]
    pair, _ = chosen(selection, texts, scores, seed)
    if len({t.strip() for t in texts}) < 2:
        assert pair is None
    else:
        assert pair is not None and texts[pair[0]].strip() != texts[pair[1]].strip()


def test_audit_slice_has_its_share_and_ignores_file_order():
    ids = [f"p{i}" for i in range(40)]
    drawn = audit_slice(ids, audit_share=0.1, seed=3)
    assert len(drawn) == 4 and drawn == audit_slice(reversed(ids), audit_share=0.1, seed=3)
    assert drawn != audit_slice(ids, audit_share=0.1, seed=4)
    assert audit_slice(ids, audit_share=0.0, seed=3) == frozenset()


def test_every_rule_of_the_recipe_exists():
    assert set(RULES) == set(CHOOSERS)
