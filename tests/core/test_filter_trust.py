"""How far rewards tell the worth of what a filter keeps: by hand, and in card 8's world."""

from __future__ import annotations

import random

import pytest

from training.core.filter_trust import by_people, trust_by_filter


def squared(pairs: list[tuple[float, float]]) -> float:
    n = len(pairs)
    x, y = (sum(column) / n for column in zip(*pairs, strict=True))
    both = sum((a - x) * (b - y) for a, b in pairs)
    return both**2 / (sum((a - x) ** 2 for a, _ in pairs) * sum((b - y) ** 2 for _, b in pairs))


def test_by_hand():
    """The best of each are (3, 3) and (4, 1), the worst (1, 2) and (0, 0); the one between counts as it is drawn."""
    told = trust_by_filter([([1, 3, 2], [2, 3, 0]), ([4, 0, 1], [1, 0, 2])], confidence=0.9)
    every = [(1, 2), (3, 3), (2, 0), (4, 1), (0, 0), (1, 2)]
    best, worst, between = [(3, 3), (4, 1)], [(1, 2), (0, 0)], [(2, 0), (1, 2)]
    assert told["all"]["estimate"] == pytest.approx(squared(every))
    assert told["best"]["estimate"] == pytest.approx(1.0)
    assert told["best-and-worst"]["estimate"] == pytest.approx(squared(best + worst))
    assert told["best-and-random"]["estimate"] == pytest.approx(squared(2 * best + worst + between))
    assert all(0 <= one["low"] <= one["estimate"] <= one["high"] <= 1 and one["n"] == 2 for one in told.values())


def test_where_the_reward_guesses_in_between_the_ends_tell_most_and_where_it_never_does_nothing_is_gained():
    """Card 8: 0.18 to 0.22 of all, at least 0.53 of best and worst of 8. Rewards that are the worth have 1 of each."""
    draw = random.Random(0)
    guessing, true = [], []
    for _ in range(400):
        worth = [draw.uniform(-1, 1) for _ in range(8)]
        guessing.append(([w if abs(w) > 0.8 else draw.uniform(-0.8, 0.8) for w in worth], worth))
        true.append((worth, worth))
    told = trust_by_filter(guessing, confidence=0.95)
    assert max(told, key=lambda name: told[name]["estimate"]) == "best-and-worst"
    assert told["all"]["high"] < 0.3 < 0.53 <= told["best-and-worst"]["estimate"]
    assert {round(one["estimate"], 9) for one in trust_by_filter(true, confidence=0.95).values()} == {1.0}


def test_where_all_are_worth_the_same_there_is_nothing_to_tell():
    assert trust_by_filter([([1, 2], [5, 5]), ([0, 3], [5, 5])], confidence=0.9) == {}


def test_peoples_worth_is_the_share_of_comparisons_won_and_rewards_are_about_their_prompt():
    """a beats b twice and c once, b beats c and c beats b: 3/3, 1/4 and 1/3. Of two answers nothing is told."""
    a, b, c = ("a", 5.0), ("b", 1.0), ("c", 3.0)
    pairs = [("q", a, b), ("q", a, b), ("q", a, c), ("q", b, c), ("q", c, b), ("p", a, b)]
    ((rewards, worth),) = by_people(pairs)
    assert rewards == [2.0, -2.0, 0.0] and worth == pytest.approx([1.0, 1 / 4, 1 / 3])


def test_prompts_whose_answers_all_score_higher_say_nothing_of_the_filters():
    """Rewards apart by ten between the prompts, and right within each: what people compared, it tells wholly."""
    of_prompt = [[("a", n + 2.0), ("b", n + 1.0), ("c", n + 0.0)] for n in (0.0, 10.0)]
    pairs = [
        (str(place), answers[i], answers[j])
        for place, answers in enumerate(of_prompt)
        for i in range(3)
        for j in range(i + 1, 3)
    ]
    assert trust_by_filter(by_people(pairs), confidence=0.9)["all"]["estimate"] == pytest.approx(1.0)
