"""Charts as geometry: coordinates by hand, and numbers that no chart may stumble over."""

from __future__ import annotations

import math

import pytest

from frontend import charts
from frontend.figures import figure, figures, number


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.25, 0.5, 0.75, 1]),
        (0, 100, [0, 25, 50, 75, 100]),
        (0.13, 0.87, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-3, 3, [-4, -2, 0, 2, 4]),
        (5, 5, [4.5, 4.75, 5.0, 5.25, 5.5]),
        (math.nan, 1, [0, 1]),
    ],
)
def test_ticks_are_round_and_span_the_range(low: float, high: float, expected: list[float]) -> None:
    assert charts.nice_ticks(low, high) == pytest.approx(expected)


def test_a_line_runs_from_edge_to_edge() -> None:
    """Two points, (0, 0) and (10, 1): lower left (46, 184) and upper right (408, 14) of a 420 by 220 drawing."""
    chart = charts.line_chart([("Loss", [(0, 0.0), (10, 1.0)])], title="Loss", x_label="step", y_label="loss")
    assert chart is not None
    assert chart.lines[0].points == "46.0,184.0 408.0,14.0"
    assert chart.columns == ["step", "Loss"]
    assert chart.rows == [["0", "0.0000"], ["10", "1.0000"]]
    assert chart.caption == "Loss: 0 → 1."


def test_long_curves_are_thinned_and_broken_numbers_left_out() -> None:
    points = [(float(step), math.nan if step % 7 == 0 else 1.0) for step in range(5000)]
    chart = charts.line_chart([("Loss", points)], title="Loss", x_label="step", y_label="loss")
    assert chart is not None
    assert len(chart.lines[0].points.split()) <= charts.MOST_POINTS + 1
    assert "nan" not in chart.lines[0].points
    assert len(chart.rows) <= 14 and chart.rows[-1][0] == "4999"
    assert charts.line_chart([("Loss", [(1.0, math.nan)])], title="", x_label="", y_label="") is None
    one = charts.line_chart([("Loss", [(3.0, 2.0)])], title="", x_label="", y_label="")
    assert one is not None and "nan" not in one.lines[0].points


def test_bars_are_as_high_as_their_counts() -> None:
    chart = charts.bar_chart([("a", "First", 0), ("b", "Second", 10)], title="", caption="", x_label="", y_label="")
    assert [bar.height for bar in chart.bars] == [0.0, 170.0]
    assert chart.rows == [["First", "0", "0%"], ["Second", "10", "100%"]]
    empty = charts.bar_chart([("a", "First", 0)], title="", caption="", x_label="", y_label="")
    assert empty.rows == [["First", "0", "0%"]]


def test_an_interval_is_drawn_around_its_estimate() -> None:
    """0.5 of 0..1 lies half way between 184 and 14, which is 99."""
    figures = [("1", {"estimate": 0.5, "low": 0.0, "high": 1.0, "n": 8})]
    chart = charts.interval_chart(figures, title="", caption="", x_label="Round", y_label="rate")
    assert chart is not None
    whisker = chart.whiskers[0]
    assert (whisker.y_low, whisker.y, whisker.y_high) == (184.0, 99.0, 14.0)
    assert chart.rows == [["1", "50%", "0% to 100%", "8"]]
    four = [(f"p-{n}0d77ea792bc", figures[0][1]) for n in range(4)]
    named = charts.interval_chart(four, title="", caption="", x_label="", y_label="")
    assert named is not None and named.rows[0][0] == "p-00d77ea792bc"
    assert [tick.label for tick in named.x_ticks][:2] == ["p-00d77ea79…", "p-10d77ea79…"]
    assert charts.interval_chart([], title="", caption="", x_label="", y_label="") is None


def test_the_word_for_the_line_across_lies_on_no_interval() -> None:
    """Its right edge is at 408 and its six letters of at most 7.2 begin at 364.8; a whisker is 12 wide."""
    many = [(str(n), {"estimate": 0.5, "low": 0.0, "high": 1.0, "n": 8}) for n in range(40)]
    chart = charts.interval_chart(many, title="", caption="", x_label="", y_label="", reference=(0.5, "chance"))
    assert chart is not None
    assert chart.whiskers[-1].x + 6 < chart.right - 6 * charts.LETTER


def test_short_numbers() -> None:
    assert [charts.short(value) for value in (0.25, 1200, 12_000, 3_400_000, math.inf)] == [
        "0.25",
        "1200",
        "12k",
        "3.4M",
        "–",
    ]


def test_figures_come_in_words_with_unit_and_interval() -> None:
    metrics = {
        "loss": 0.1234,
        "kl": {"estimate": 7.25, "low": 6.0, "high": 8.5, "n": 40},
        "human_win_rate": {"estimate": 0.625, "low": 0.4, "high": 0.8, "n": 16},
        "notes": ["not a figure"],
        "flag": True,
    }
    found = figures(metrics)
    assert [one.name for one in found] == ["human_win_rate", "kl", "loss"]
    assert (found[0].value, found[0].interval, found[0].n) == ("62%", "40% to 80%", 16)
    assert (found[1].value, found[1].unit) == ("7.25", "nats per answer")
    assert figure("judge_agreement_rate", 0.5).value == "50%"  # type: ignore[union-attr]
    assert number(math.nan) == "not a number" and number(1234567) == "1,234,567"
