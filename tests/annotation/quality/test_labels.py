"""Dawid and Skene's model: against crowd-kit on real votes, against gold, by hand, and in its edge cases."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from crowdkit.aggregation import DawidSkene

from annotation.quality.labels import USUAL, dawid_skene, majority
from tests.annotation.quality.real_votes import convabuse, crows_pairs, llmfao


def test_by_hand():
    """Two items, two people who always agree: after any number of rounds all are right and the classes even."""
    found = dawid_skene({1: {"x": "a", "y": "a"}, 2: {"x": "b", "y": "b"}})
    assert found.posterior[1]["a"] == pytest.approx(1) and found.priors["a"] == pytest.approx(0.5)
    assert found.accuracy("x") == pytest.approx(1) and found.information("x") == pytest.approx(1, abs=1e-6)


@pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")
@pytest.mark.parametrize(
    "votes", [llmfao()[1], {k: {p: str(v) for p, v in one.items()} for k, one in convabuse().items()}]
)
def test_posteriors_and_error_rates_are_those_of_crowd_kit_on_real_votes(votes):
    frame = pd.DataFrame(
        [(item, person, label) for item, by_person in votes.items() for person, label in by_person.items()],
        columns=["task", "worker", "label"],
    )
    theirs = DawidSkene(n_iter=12, tol=-np.inf).fit(frame)
    ours = dawid_skene(votes, rounds=12, change=-1)
    posterior = theirs.probas_.to_dict("index")
    assert (
        max(abs(posterior[item][label] - ours.posterior[item][label]) for item in votes for label in ours.labels) < 1e-6
    )
    errors = theirs.errors_.to_dict("index")
    for (person, said), by_truth in errors.items():
        for truth, rate in by_truth.items():
            assert ours.errors[person][truth][said] == pytest.approx(rate, abs=1e-6)


def test_weighting_by_reliability_beats_the_majority_where_there_is_gold():
    """CrowS-Pairs: 1,508 items, 283 validators, and the writer's own label that none of them saw."""
    votes, gold = crows_pairs()
    plain = majority(votes)
    model = dawid_skene(votes, smoothing=USUAL, rounds=15)
    by_majority = sum(plain[item] == right for item, right in gold.items()) / len(gold)
    by_model = sum(model.label(item) == right for item, right in gold.items()) / len(gold)
    assert by_majority == pytest.approx(0.920, abs=0.002)
    assert by_model > by_majority + 0.02


def test_who_answers_by_chance_tells_nothing_and_who_contradicts_tells_all():
    votes = {
        item: {
            **{f"good {n}": "ab"[item % 2] for n in range(3)},
            "contrary": "ba"[item % 2],
            "constant": "a",
        }
        for item in range(40)
    }
    found = dawid_skene(votes, smoothing=1.0)
    assert found.information("constant") < 0.01 < 0.6 < found.information("contrary")
    assert found.accuracy("good 0") > 0.95 and found.accuracy("contrary") < 0.05
    assert found.uncertainty(0) < 0.01


def test_nothing_and_one_label():
    assert dawid_skene({}).posterior == {}
    alone = dawid_skene({1: {"x": "a"}, 2: {}})
    assert alone.posterior == {1: {"a": 1.0}} and alone.information("x") == 0.0
    assert majority({1: {"x": "b", "y": "a"}, 2: {}}) == {1: "a"}
