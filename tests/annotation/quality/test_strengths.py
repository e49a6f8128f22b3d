"""Bradley and Terry's model: against evalica and scipy on real comparisons, and people made unreliable."""

from __future__ import annotations

import random

import evalica
import numpy as np
import pytest
from scipy.optimize import minimize

from annotation.quality.finiteness import are_finite
from annotation.quality.strengths import SPREAD, USUAL, Game, aware, bradley_terry, logistic
from tests.annotation.quality.real_votes import llmfao


def test_by_hand():
    """Three wins out of four are log odds of log 3; strengths sum to 0."""
    found = bradley_terry([Game("a", "b", 1)] * 3 + [Game("b", "a", 1)])
    assert found.strengths["a"].value == pytest.approx(np.log(3) / 2)
    assert found.chance("a", "b") == pytest.approx(0.75)
    assert list(found.strengths) == ["a", "b"] and found.strengths["a"].n == 4


def test_strengths_are_those_of_evalica_on_real_comparisons():
    games, _ = llmfao()
    winner = {1.0: evalica.Winner.X, 0.0: evalica.Winner.Y, 0.5: evalica.Winner.Draw}
    theirs = evalica.bradley_terry(
        *zip(*[(game.one, game.other, winner[game.share]) for game in games], strict=True),
        tolerance=1e-14,
        limit=100_000,
    )
    logs = np.log(theirs.scores)
    ours = bradley_terry(games)
    assert len(ours.strengths) == len(logs) > 50
    for name, estimate in ours.strengths.items():
        assert estimate.value == pytest.approx(logs[name] - logs.mean(), abs=1e-6)
        assert estimate.low < estimate.value < estimate.high


def test_strengths_are_finite_where_each_won_against_each_by_way_of_others():
    ring = [Game("a", "b", 1), Game("b", "c", 1), Game("c", "a", 1)]
    assert are_finite(ring) and are_finite([Game("a", "b", 0.5)]) and not are_finite([])
    assert not are_finite(ring[:2]) and not are_finite([*ring, Game("d", "a", 1)])
    assert not are_finite([*ring, Game("d", "e", 0.5)]), "nothing holds the two groups together"


def test_intervals_hold_what_drawing_items_anew_gives():
    """Four policies, 60 items judged by three people each who see the same item alike: items vary, not judgements."""
    generator = random.Random(3)
    strength = {"a": 1.0, "b": 0.3, "c": -0.3, "d": -1.0}
    games = []
    for item in range(60):
        one, other = generator.sample(list(strength), 2)
        share = float(generator.random() < logistic(strength[one] - strength[other]))
        games += [Game(one, other, share, person, item) for person in range(3)]
    found = bradley_terry(games, prior=USUAL)
    by_item = [games[start : start + 3] for start in range(0, len(games), 3)]
    drawn = [
        bradley_terry([game for part in generator.choices(by_item, k=60) for game in part], prior=USUAL)
        .strengths["a"]
        .value
        for _ in range(200)
    ]
    estimate = found.strengths["a"]
    assert (estimate.high - estimate.low) / (2 * 1.96) == pytest.approx(np.std(drawn), rel=0.25)
    single = bradley_terry([part[0] for part in by_item], prior=USUAL / 3).strengths["a"]
    assert estimate.high - estimate.low == pytest.approx(single.high - single.low, rel=1e-6)


def test_people_and_strengths_are_those_of_another_optimiser_on_real_comparisons():
    """The same posterior by scipy's BFGS with a gradient of its own; a sixth of the comparisons, to be quick."""
    games = [game for game in llmfao()[0] if int(game.item) % 6 == 0]
    names = sorted({name for game in games for name in (game.one, game.other)})
    people = sorted({game.person for game in games})
    one = np.array([names.index(game.one) for game in games])
    other = np.array([names.index(game.other) for game in games])
    who = np.array([people.index(game.person) for game in games])
    share = np.array([game.share for game in games])

    def loss(x):
        s, beta = x[: len(names)], x[len(names) :]
        gap = s[one] - s[other]
        z = beta[who] * gap
        slope = 1 / (1 + np.exp(-z)) - share
        value = np.logaddexp(0, z).sum() - share @ z
        value += USUAL * (2 * np.logaddexp(0, s) - s).sum() + ((beta - 1) ** 2).sum() / (2 * SPREAD**2)
        by_s = USUAL * (2 / (1 + np.exp(-s)) - 1)
        np.add.at(by_s, one, beta[who] * slope)
        np.subtract.at(by_s, other, beta[who] * slope)
        by_beta = (beta - 1) / SPREAD**2
        np.add.at(by_beta, who, gap * slope)
        return value, np.concatenate([by_s, by_beta])

    start = np.concatenate([np.zeros(len(names)), np.ones(len(people))])
    best = minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-8, "maxiter": 2000})
    ours = aware(games)
    mine = [ours.strengths[name].value for name in names] + [ours.rationality[person].value for person in people]
    # BFGS itself ends some 3e-8 from the point where its gradient is 0, and ours 2e-8.
    assert np.abs(np.array(mine) - best.x).max() < 1e-6
    assert loss(np.array(mine))[0] <= best.fun + 1e-9
    # The intervals against the inverse of a numerical Hessian, for the person who judged most.
    busiest = max(people, key=lambda person: ours.rationality[person].n)
    at, step = len(names) + people.index(busiest), 1e-4
    x = np.array(mine)
    hessian = np.array([(loss(x + step * unit)[1] - loss(x - step * unit)[1]) / (2 * step) for unit in np.eye(len(x))])
    width = 1.96 * np.sqrt(np.linalg.inv(hessian)[at, at])
    estimate = ours.rationality[busiest]
    assert (estimate.high - estimate.low) / 2 == pytest.approx(width, rel=1e-3)


def test_who_answers_by_chance_or_upside_down_is_found_and_the_order_is_better_for_it():
    """Method card 6, (c): five people with β 1.5, 1.5, 1, 0, -1.5 and 600 judgements; five seeds."""
    truth = {f"policy {k:02}": 0.4 * (k - 5.5) for k in range(12)}
    betas = {"p": 1.5, "q": 1.5, "r": 1.0, "chance": 0.0, "upside down": -1.5}
    better = 0
    for seed in range(5):
        generator = random.Random(seed)
        games = []
        for number in range(600):
            one, other = generator.sample(list(truth), 2)
            person = generator.choice(list(betas))
            chance = logistic(betas[person] * (truth[one] - truth[other]))
            games.append(Game(one, other, float(generator.random() < chance), person, number))
        found = aware(games)
        beta = found.rationality
        assert beta["upside down"].high < 0 < beta["r"].low
        assert beta["chance"].low < 0 < beta["chance"].high or abs(beta["chance"].value) < 0.3

        def right(ranking):
            return sum(
                (ranking.strengths[a].value > ranking.strengths[b].value) == (truth[a] > truth[b])
                for a in truth
                for b in truth
                if a < b
            )

        better += right(found) > right(bradley_terry(games, prior=USUAL))
    assert better >= 4


def test_who_won_everything_needs_a_prior():
    games = [Game("a", "b", 1)] * 5
    with pytest.raises(ValueError, match="finite"):
        bradley_terry(games)
    found = bradley_terry(games, prior=USUAL)
    assert 0 < found.strengths["a"].value < 5
    assert bradley_terry([], prior=USUAL).strengths == {}
    assert aware([]).rationality == {}
    with pytest.raises(ValueError, match="at most"):
        bradley_terry([Game(str(n), str(n + 1), 1) for n in range(400)])
