"""Labels by an order of priorities: who wins where, what is dropped, and what the person is told."""

from __future__ import annotations

import itertools

import pytest

from training.core.priorities import Level, compare, hierarchical, levels_of
from training.core.records import Rated, Tally
from training.errors import TrainingError

SAFE_FIRST = [Level("safe", 1, 0.0), Level("long", -1, 1.0)]
ANSWERS = [
    {"safe": safe, "long": long} if safe is not None else {"long": long}
    for safe in (0.0, 1.0, None)
    for long in (0.0, 1.0, 3.0)
]


def test_the_first_level_that_decides_decides():
    assert compare({"safe": 1, "long": 9}, {"safe": 0, "long": 0}, SAFE_FIRST) == (1, 0)
    assert compare({"safe": 1, "long": 9}, {"safe": 1, "long": 0}, SAFE_FIRST) == (-1, 1)  # less of it is better
    assert compare({"safe": 1, "long": 1}, {"safe": 1, "long": 0}, SAFE_FIRST) == (0, None)  # a margin is a tie
    assert compare({"long": 3}, {"safe": 1, "long": 0}, SAFE_FIRST) == (-1, 1)  # not rated is no level


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(ANSWERS, 2)))
def test_swapping_turns_it_round_and_the_order_matters_only_in_conflict(one, other):
    verdict, level = compare(one, other, SAFE_FIRST)
    assert compare(other, one, SAFE_FIRST) == (-verdict, level)
    alone = [compare(one, other, [each])[0] for each in SAFE_FIRST]
    turned = compare(one, other, SAFE_FIRST[::-1])[0]
    assert (turned != verdict) == (alone[0] * alone[1] < 0)


def rated(text: str, prompt: str = "why?", **labels: float) -> Rated:
    return Rated([{"role": "user", "content": prompt}], text, labels)


def test_pairs_come_from_answers_to_one_prompt_and_people_are_averaged():
    """Of "a" two people say 1 and 4, so 2.5; it beats "b" with 2, and "c" belongs to another prompt."""
    rows = [rated("a", kind=1), rated("a", kind=4), rated("b", kind=2), rated("c", prompt="how?", kind=0)]
    tally = Tally()
    ((line, pair),) = hierarchical(list(enumerate(rows)), tally, priorities="kind", margins="0")
    assert (line, pair.chosen, pair.rejected) == (0, "a", "b")
    assert dict(tally.counts) == {"decided_by_kind": 1}


def test_answers_that_are_equal_in_everything_give_no_pair():
    tally = Tally()
    assert hierarchical([(1, rated("a", kind=1)), (2, rated("b", kind=1))], tally, priorities="", margins="0") == []
    assert dict(tally.counts) == {"undecided": 1}


def test_margins_are_in_standard_deviations_and_the_last_one_goes_on():
    values = {"kind": [0.0, 2.0], "long": [0.0, 20.0], "safe": [0.0, 0.0]}  # deviations 1, 10 and 0
    levels = levels_of("safe, -long, kind", "0, 0.5", values)
    assert levels == [Level("safe", 1, 0.0), Level("long", -1, 5.0), Level("kind", 1, 0.5)]
    assert [level.name for level in levels_of("", "0.5", values)] == ["kind", "long", "safe"]


@pytest.mark.parametrize(
    ("order", "margins", "said"),
    [
        ("safe, honest", "0", "Nobody rated honest. The attributes that were rated are: kind, safe."),
        ("kind, -kind", "0", "kind is in the order of priorities twice."),
        ("kind", "little", "Margins are numbers"),
        ("kind", "-1", "A margin is 0 or more."),
    ],
)
def test_what_does_not_fit_is_said(order, margins, said):
    with pytest.raises(TrainingError, match=said):
        levels_of(order, margins, {"kind": [1.0], "safe": [1.0]})
