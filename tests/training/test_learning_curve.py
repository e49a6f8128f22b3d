"""What the next labels bring: the curve is found where it is known, and nothing is said where nothing is known."""

from __future__ import annotations

import math
import random

import pytest

from tests.frontend.lead_world import finish_run, judge_all, make_world, start_run
from training.models import Run
from training.services.learning_curve import NEXT, Curve, Point, fit, forecast, of_campaign

TRUE = Curve(0.82, 2.0, 0.5)


def points(sizes: tuple[int, ...], *, error: float, seed: int | None = None) -> list[Point]:
    dice = random.Random(seed)
    return [Point(n, TRUE.at(n) + (dice.gauss(0, error) if seed is not None else 0), error) for n in sizes]


def test_a_curve_without_noise_is_found_again() -> None:
    found = fit(points((100, 200, 500, 1000, 2000, 4000), error=0.01))
    assert (found.a, found.b, found.c) == pytest.approx((TRUE.a, TRUE.b, TRUE.c), abs=1e-6)


def test_the_interval_holds_the_true_gain_about_as_often_as_it_says() -> None:
    sizes = (100, 200, 400, 800, 1600, 3200)
    true = TRUE.at(sizes[-1] + NEXT) - TRUE.at(sizes[-1])
    held = 0
    for seed in range(40):
        found = forecast(points(sizes, error=0.01, seed=seed))
        assert found.low is not None and found.high is not None
        held += found.low <= true <= found.high
    assert held >= 34, "95 per cent of 40 are 38"


def test_it_is_not_defined_with_fewer_than_four_sizes() -> None:
    assert forecast([]).undefined == "none"
    few = forecast(points((100, 200, 200, 400), error=0.01))
    assert (few.gain, few.undefined, len(few.points)) == (None, "few", 4)


def test_labels_never_make_it_worse_and_no_accuracy_is_more_than_all() -> None:
    falling = [Point(n, 0.9 - n / 10_000, 0.01) for n in (100, 400, 900, 2000)]
    assert forecast(falling).gain == pytest.approx(0)
    steep = forecast([Point(n, min(0.99, 0.5 + n / 2000), 0.02) for n in (100, 300, 600, 950)])
    assert steep.then is not None and steep.then <= 1 and math.isfinite(steep.then)


@pytest.mark.django_db
def test_the_points_are_the_reward_models_of_one_recipe() -> None:
    world = make_world()
    judge_all(world)
    for size, accuracy in ((50, 0.6), (100, 0.65), (200, 0.7), (400, 0.72)):
        figure = {"estimate": accuracy, "low": 0.5, "high": 0.9, "n": 80}
        run = finish_run(start_run(world), metrics={"eval_accuracy": figure})
        Run.objects.filter(pk=run.pk).update(result={**run.result, "counts": {"trained_on": size}})
    found = of_campaign(world.campaign)
    assert (found.recipe, found.undefined) == ("bradley-terry", "")
    assert [(point.pairs, point.accuracy) for point in found.points] == [
        (50, 0.6),
        (100, 0.65),
        (200, 0.7),
        (400, 0.72),
    ]
    assert found.gain is not None and 0 <= found.gain < 0.28 and found.low is not None and found.low <= found.gain
