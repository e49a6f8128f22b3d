"""The exact best-of-n estimator: by hand, against drawing, and at its ends."""

from __future__ import annotations

import math
import random
from statistics import fmean, stdev

import pytest

from training.core.best_of_n import best_of_n, divergence


def test_by_hand():
    """Of gold 5, 1, 3 in order of the proxy, pairs choose 1, 3, 3: the mean is 7/3. Of one: 3. Of all three: 3."""
    proxy, gold = [0.1, 0.2, 0.3], [5.0, 1.0, 3.0]
    assert best_of_n(proxy, gold, 2) == pytest.approx(7 / 3)
    assert best_of_n(proxy, gold, 1) == pytest.approx(3)
    assert best_of_n(proxy, gold, 3) == pytest.approx(3)


def test_it_is_what_drawing_again_and_again_comes_to():
    draw = random.Random(0)
    proxy = [draw.gauss(0, 1) for _ in range(60)]
    gold = [p + draw.gauss(0, 1) for p in proxy]
    drawn = [gold[max(draw.sample(range(60), 8), key=lambda i: proxy[i])] for _ in range(20_000)]
    error = stdev(drawn) / math.sqrt(len(drawn))
    assert abs(best_of_n(proxy, gold, 8) - fmean(drawn)) < 2 * error


def test_its_ends_and_large_numbers():
    assert divergence(1) == 0 and divergence(4) == pytest.approx(math.log(4) - 0.75)
    values = list(range(5000))
    assert best_of_n(values, values, 1000) == pytest.approx(1000 * 5001 / 1001 - 1)
    with pytest.raises(ValueError, match="best of 3 cannot be had from 2"):
        best_of_n([1, 2], [1, 2], 3)
