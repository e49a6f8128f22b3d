"""What decides between answers besides what they say, and who judges faster than anybody reads."""

from __future__ import annotations

import random
from dataclasses import astuple, replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from annotation.quality.bias import Choice, Timed, biases, effects, marks, step_of_time, steps_longer
from annotation.quality.pace import Work, counts, is_too_fast, signs
from annotation.quality.shares import share
from annotation.quality.strengths import logistic


def choices(n: int, *, first: float, doubling: float, marked: float, seed: int = 0) -> list[Choice]:
    """Return choices of people who like what stands first, what is longer and what has Markdown, by these log odds."""
    generator = random.Random(seed)
    found = []
    for item in range(n):
        position, length, more = generator.choice([-1, 1]), generator.gauss(0, 1), generator.choice([-2, 0, 1])
        pull = first / 2 * position + doubling * length + marked / 2 * np.sign(more)
        sign = 1 if generator.random() < logistic(pull) else -1
        found.append(Choice(sign * position > 0, sign * length, sign * more, item))
    return found


def test_effects_are_those_of_scikit_learn_and_of_who_made_them():
    made = choices(4000, first=0.5, doubling=0.4, marked=0.0)
    found = effects(made)
    x = np.array([[1 if one.stood_first else -1, one.doublings, np.sign(one.marks)] for one in made])
    both, y = np.vstack([x, -x]), np.repeat([1, 0], len(x))
    # By Newton's method: its usual one, L-BFGS, ends some 1e-6 away whatever `tol` says.
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-12, max_iter=1000, solver="newton-cholesky")
    theirs = model.fit(both, y).coef_[0] * [2, 1, 2]
    assert [found[name].value for name in ("first", "doubling", "marks")] == pytest.approx(list(theirs), abs=1e-8)
    assert found["first"].low < 0.5 < found["first"].high and found["first"].low > 0
    assert found["doubling"].low < 0.4 < found["doubling"].high
    assert found["marks"].low < 0 < found["marks"].high


def test_one_item_judged_by_many_is_one_item():
    made = choices(200, first=0.5, doubling=0.4, marked=0.2)
    once, thrice = effects(made), effects(made * 3)
    for name, estimate in once.items():
        assert thrice[name].value == pytest.approx(estimate.value)
        assert thrice[name].high == pytest.approx(estimate.high)
    counted = effects([replace(one, times=3, alike=2) for one in made])
    doubled = effects([replace(one, item=(one.item, copy)) for one in made * 3 for copy in range(2)])
    for name, estimate in counted.items():
        assert astuple(estimate) == pytest.approx(astuple(doubled[name])), "as of each by itself"


def test_shares_and_where_there_is_nothing_to_say():
    made = choices(400, first=2.0, doubling=0.0, marked=0.0)
    # A quarter in haste, as near as steps allow: the second step is all of it.
    timed = {3: Timed(300, 150, 10, 20), -1: Timed(60, 60, 5, 10), 1: Timed(40, 40, 0, 10)}
    found = biases(made, timed)
    assert (found.first_in_haste.n, found.first_in_haste.estimate, found.longer_in_haste.n) == (100, 1.0, 20)
    assert found.first.excludes(0.5) and not found.longer.excludes(0.5)
    assert found.first_in_haste.n + found.first_at_leisure.n == 400
    assert found.more_marks.n < 400  # where both have as many, neither has more
    assert effects(made[:5]) == {} and biases([], {}).first.estimate is None
    assert effects([Choice(True, 0.0, 0, n) for n in range(50)]) == {}
    assert share(0, 0).excludes(0.5) is False
    assert (step_of_time(0.0), step_of_time(20.0) - step_of_time(10.0)) == (step_of_time(0.1), 16)
    assert [steps_longer("a" * n, "a" * 100) for n in (200, 101, 100, 99, 50)] == [16, 1, 0, -1, -16]


def test_marks_of_markdown():
    assert marks("# Head\n\n- one\n- **two**\n1. three\n\n| a | b |\n`x`") == 7
    assert marks("Plain text with 2 * 3 and a - b.") == 0


def works(person: str, seconds: float, verdict: str = "first", **fields) -> list[Work]:
    return [
        Work(person, item, 240, seconds, verdict if item % 3 else "second", feedback=item, **fields)
        for item in range(30)
    ]


def test_too_fast_is_below_skimming_and_below_half_of_what_others_took():
    quick = Work("a", 1, 240, 5.0, "first")  # skimming takes 20 s
    assert is_too_fast(quick, [])
    assert is_too_fast(quick, [Work("b", 1, 240, 40.0, "first")])
    assert not is_too_fast(quick, [Work("b", 1, 240, 8.0, "first")])  # an item that is easy for everybody
    assert not is_too_fast(Work("a", 1, 240, 25.0, "first"), [])
    assert not is_too_fast(Work("a", 1, 240, None, "first"), [])


def test_one_sign_is_no_finding_and_two_are_with_evidence():
    done = [*works("hasty", 2.0, least_read=0.9), *works("blind", 2.0, least_read=0.1), *works("calm", 60.0)]
    found = signs(counts(done))
    assert found["hasty"].signs == ("fast",) and not found["hasty"].worth_a_look
    assert found["blind"].signs == ("fast", "unread") and found["blind"].worth_a_look
    assert found["calm"].signs == () and found["calm"].evidence == ()
    assert [one.seconds for one in found["hasty"].evidence] == [2.0] * 5
    assert found["hasty"].words_per_second == pytest.approx(120, rel=0.006)
    always = [Work("same", item, 50, 60.0, "first") for item in range(30)]
    assert signs(counts([*always, *works("calm", 60.0), *works("other", 60.0, "tie")]))["same"].signs == ("same",)
    assert signs(counts(always))["same"].signs == ()  # everybody says so
    assert signs(counts(works("few", 1.0)[:10]))["few"].signs == ()
