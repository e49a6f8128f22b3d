"""Numbers by hand: ranks and Spearman's ρ, the alarm's two rules, and the curve of gold over the distance."""

from __future__ import annotations

import math

import pytest

from training.services.overoptimisation import (
    BEST_OF_N,
    FALLEN,
    RL,
    SLOPES,
    Checkpoint,
    along,
    first_sign,
    fitted,
    follow,
    sign,
)
from training.services.rank_correlation import partial, ranks, spearman


def way(proxy: list[float], human: list[float]) -> list[Checkpoint]:
    return [Checkpoint(str(n), n, p, h) for n, (p, h) in enumerate(zip(proxy, human, strict=True))]


def test_ranks_and_their_correlation():
    """Of 3, 1, 3 the ranks are 2.5, 1, 2.5. For 1 2 3 4 5 against 2 1 4 3 5 Σd² = 4, so ρ = 1 − 6·4/(5·24) = 0.8."""
    assert ranks([3, 1, 3]) == [2.5, 1, 2.5]
    found = spearman([1, 2, 3, 4, 5], [20, 10, 40, 30, 50])
    assert found.estimate == pytest.approx(0.8) and found.n == 5 and found.low < 0.8 < found.high == 1
    assert spearman([1, 2, 3], [9, 5, 1]).estimate == -1
    assert spearman([1, 2, 3], [4, 4, 4]).estimate is None and spearman([1, 2], [1, 2]).estimate is None


def test_what_is_left_with_length_held_fixed():
    """Ranks with r_xy = 0.9, r_xz = 0.6 and r_yz = 0.3: (0.9 − 0.6·0.3)/√((1 − 0.36)(1 − 0.09)) = 0.9435."""
    z, x, y = [1, 2, 3, 4, 5], [2, 1, 5, 3, 4], [3, 1, 5, 2, 4]
    by_hand = 0.72 / math.sqrt(0.64 * 0.91)
    found = partial(x, y, z)
    assert found.estimate == pytest.approx(by_hand) and found.n == 5
    # Held fixed twice, or something that is the same for all, changes nothing but the certainty.
    assert partial(x, y, z, z, [7, 7, 7, 7, 7]).estimate == pytest.approx(by_hand)
    assert partial(x, y).estimate == pytest.approx(0.9)
    # What is wholly told by length has nothing left; 1.96·√((1 + 0.25/2)/(30 − 3)) = 0.4001 around artanh ρ.
    assert partial(z, y, z).estimate is None and partial([1, 2, 3], [1, 3, 2]).estimate is None
    many = [(n * 7) % 30 for n in range(30)]
    wide = partial(range(30), many)
    half = (math.atanh(wide.high) - math.atanh(wide.low)) / 2
    assert half == pytest.approx(1.959964 * math.sqrt((1 + wide.estimate**2 / 2) / 27))


def test_a_gate_is_a_step():
    """60 of 100 are ln(60.5/40.5) = 0.4013, with an error of √(1/60.5 + 1/40.5) = 0.2030; √4 nats on from 1."""
    rate = {"estimate": 0.6, "n": 100}
    there, error = follow(Checkpoint("a", 1.0, 0.0, 1.0), "b", human=rate, reward=rate, kl=4.0)
    assert (there.label, there.distance) == ("b", 3.0) and error == pytest.approx(0.2030, abs=1e-4)
    assert (there.proxy, there.human) == (pytest.approx(0.4013, abs=1e-4), pytest.approx(1.4013, abs=1e-4))
    assert along([3.0, 4.0, 9.0])(0, 2) == 5.0 and along([3.0, 4.0])(1, 1) == 0


def test_a_slope_down_under_a_proxy_that_rises():
    """Over three points 0.60 to 0.50 with an error of 0.03: 0.10 > 3 · 0.03, and with 0.035 it is not."""
    falling = way([1, 2, 3], [0.60, 0.55, 0.50])
    assert sign(falling, lambda i, j: 0.03).rule == SLOPES
    assert sign(falling, lambda i, j: 0.035) is None
    assert sign(way([3, 2, 1], [0.60, 0.55, 0.50]), lambda i, j: 0.03).rule == FALLEN  # under no proxy that rises
    assert sign(falling[:1], lambda i, j: 0.0) is None


def test_below_its_best_by_three_errors():
    """0.70 to 0.55 is 0.15 below, and the newest three do not fall: more than 3 · 0.049, less than 3 · 0.051."""
    fallen = way([1, 2, 3, 4, 5], [0.5, 0.7, 0.55, 0.55, 0.55])
    found = sign(fallen, lambda i, j: 0.049)
    assert (found.rule, found.at, found.best) == (FALLEN, 4, 1)
    assert sign(fallen, lambda i, j: 0.051) is None and sign(fallen, lambda i, j: 0.07, errors=2) is not None
    assert first_sign(fallen, lambda i, j: 0.049).at == 2
    assert first_sign(way([1, 2, 3], [0.5, 0.6, 0.7]), lambda i, j: 0.0) is None


def test_curves_give_back_what_they_were_drawn_from():
    """d(2 − 0.25d) is best at 2/(2·0.25) = 4, and d(2 − log d) at e^(2/1 − 1) = e."""
    distances = [0.0, 1.0, 2.0, 3.0, 5.0]
    best_of = fitted(distances, [d * (2 - 0.25 * d) for d in distances], way=BEST_OF_N)
    assert (best_of.alpha, best_of.beta, best_of.best) == (pytest.approx(2), pytest.approx(0.25), pytest.approx(4))
    assert best_of.at(4) == pytest.approx(4) and best_of.off == pytest.approx(0, abs=1e-9)
    learned = fitted(distances, [d * (2 - math.log(d)) if d else 0.0 for d in distances], way=RL)
    assert (learned.alpha, learned.beta, learned.best) == (pytest.approx(2), pytest.approx(1), pytest.approx(math.e))
    rising = fitted(distances, [2 * d for d in distances], way=BEST_OF_N)
    assert rising.best is None or rising.best > 1e6
    assert fitted([0, 1, 2], [0, 1, 2], way=RL) is None and fitted([2, 2, 2], [1, 1, 1], way=RL) is None
