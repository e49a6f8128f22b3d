"""Geometry of the charts: plain numbers in, coordinates of an SVG out; the templates in `charts/` only draw them.

Drawn on the server, so that a chart needs no script, prints, and obeys the strict content policy. Every chart carries
the rows of the table that stands under it; series are told apart by dash (components.css) and label, not by colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from frontend import numerals

# User units of every chart. Small enough that text stays readable when a phone shows the whole width.
WIDTH, HEIGHT = 420, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 14, 36
# Of a letter below the axis.
LETTER = 7.2
# Between the last figure and the word for the line across the chart.
GAP = 8
# More points than this cannot be told apart at the width of a chart, and make a page heavy.
MOST_POINTS = 200


@dataclass(frozen=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True)
class Line:
    label: str
    points: str  # "x,y x,y …"
    end_x: float
    end_y: float


@dataclass(frozen=True)
class Bar:
    label: str
    value: int
    share: str  # "12 %"
    x: float
    y: float
    width: float
    height: float
    is_hollow: bool = False

    @property
    def middle(self) -> float:
        return round(self.x + self.width / 2, 1)


@dataclass(frozen=True)
class Whisker:
    """A figure with its interval, drawn as a point on a bar."""

    label: str
    x: float
    y: float
    y_low: float
    y_high: float
    estimate: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Chart:
    """What a template of `charts/` draws. `caption` says in a sentence what is to be seen."""

    title: str
    caption: str
    x_label: str = ""
    y_label: str = ""
    x_ticks: list[Tick] = field(default_factory=list)
    y_ticks: list[Tick] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    whiskers: list[Whisker] = field(default_factory=list)
    reference: Tick | None = None
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def nice_ticks(low: float, high: float, *, most: int = 5) -> list[float]:
    """Return round numbers that span [low, high], at most about `most` of them; never fewer than two."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return [0.0, 1.0]
    if high <= low:
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    raw = (high - low) / max(1, most - 1)
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next(scale * m for m in (1, 2, 2.5, 5, 10) if scale * m >= raw * 0.999)
    start = math.floor(low / step + 1e-9)
    end = math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(start, end + 1)]


def short(value: float) -> str:
    """Return a number as a tick shows it: at most four significant digits, thousands as k and M."""
    if not math.isfinite(value):
        return "–"
    for bound, suffix in ((1e6, "M"), (1e4, "k")):
        if abs(value) >= bound:
            divisor = 1e6 if suffix == "M" else 1e3
            return numerals.decimal(f"{value / divisor:.4g}{suffix}")
    return numerals.decimal(f"{value:.4g}")


def thin(points: Sequence[tuple[float, float]], *, most: int = MOST_POINTS) -> list[tuple[float, float]]:
    """Return at most about `most` points: means over equal stretches, so that a noisy curve keeps its course."""
    if len(points) <= most:
        return list(points)
    size = math.ceil(len(points) / most)
    stretches = [points[i : i + size] for i in range(0, len(points), size)]
    return [(s[-1][0], sum(y for _, y in s) / len(s)) for s in stretches]


def _rounded(value: float) -> str:
    return numerals.decimal(f"{value:.3g}")


def _scale(low: float, high: float, start: float, end: float, value: float) -> float:
    return round(start + (value - low) / ((high - low) or 1.0) * (end - start), 1)


def line_chart(
    series: Sequence[tuple[str, Sequence[tuple[float, float]]]], *, title: str, x_label: str, y_label: str
) -> Chart | None:
    """Return a chart with one line per (label, [(x, y), …]); None when no series has a point."""
    kept = [
        (label, thin([(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)])) for label, points in series
    ]
    kept = [(label, points) for label, points in kept if points]
    if not kept:
        return None
    xs = [x for _, points in kept for x, _ in points]
    ys = [y for _, points in kept for _, y in points]
    x_at = nice_ticks(min(xs), max(xs), most=6)
    y_at = nice_ticks(min(ys), max(ys))
    # The curve fills the width; only the height is rounded outwards to the ticks.
    x_low, x_high = min(xs), max(xs)
    y_low, y_high = y_at[0], y_at[-1]

    def x_of(x: float) -> float:
        return _scale(x_low, x_high, LEFT, WIDTH - RIGHT, x)

    def y_of(y: float) -> float:
        return _scale(y_low, y_high, HEIGHT - BOTTOM, TOP, y)

    lines = [
        Line(
            label=label,
            points=" ".join(f"{x_of(x)},{y_of(y)}" for x, y in points),
            end_x=x_of(points[-1][0]),
            end_y=y_of(points[-1][1]),
        )
        for label, points in kept
    ]
    rows_at = sorted({x for _, points in kept for x, _ in points})
    step = max(1, math.ceil(len(rows_at) / 12))
    shown = rows_at[::step] if rows_at[-1] in rows_at[::step] else [*rows_at[::step], rows_at[-1]]
    values = [dict(points) for _, points in kept]
    return Chart(
        title=title,
        caption="; ".join(f"{label}: {_rounded(p[0][1])} → {_rounded(p[-1][1])}" for label, p in kept) + ".",
        x_label=x_label,
        y_label=y_label,
        x_ticks=[Tick(x_of(x), short(x)) for x in x_at if x_low <= x <= x_high],
        y_ticks=[Tick(y_of(y), short(y)) for y in y_at],
        lines=lines,
        columns=[x_label, *(label for label, _ in kept)],
        rows=[[short(x), *(numerals.decimal(f"{v[x]:.4f}") if x in v else "–" for v in values)] for x in shown],
    )


def bar_chart(
    counts: Sequence[tuple[str, str, int]],
    *,
    title: str,
    caption: str,
    x_label: str,
    y_label: str,
    hollow: Collection[int] = (),
    edges: Sequence[tuple[float, str]] = (),
) -> Chart:
    """Return a histogram of (axis label, label in words, count).

    The bars whose numbers are in `hollow` are drawn as outlines. `edges` are words below the axis at places counted in
    bars: 0 is where the first begins and 1 where it ends.
    """
    total = sum(count for _, _, count in counts)
    y_at = [y for y in nice_ticks(0, max(1, *(count for _, _, count in counts)), most=4) if y == int(y)]
    top = y_at[-1]
    slot = (WIDTH - RIGHT - LEFT) / max(1, len(counts))
    bars = []
    for i, (label, _words, count) in enumerate(counts):
        y = _scale(0, top, HEIGHT - BOTTOM, TOP, count)
        share = numerals.percent(count / total if total else 0.0)
        bars.append(
            Bar(
                label=label,
                value=count,
                share=share,
                x=round(LEFT + i * slot + slot * 0.14, 1),
                y=y,
                width=round(slot * 0.72, 1),
                height=round(HEIGHT - BOTTOM - y, 1),
                is_hollow=i in hollow,
            )
        )
    return Chart(
        title=title,
        caption=caption,
        x_label=x_label,
        y_label=y_label,
        x_ticks=[Tick(round(LEFT + place * slot, 1), words) for place, words in edges],
        y_ticks=[Tick(_scale(0, top, HEIGHT - BOTTOM, TOP, y), short(y)) for y in y_at],
        bars=bars,
        columns=[x_label, y_label, _("Share")],
        rows=[[words, str(count), bar.share] for (_, words, count), bar in zip(counts, bars, strict=True)],
    )


def interval_chart(
    figures: Sequence[tuple[str, dict[str, float]]],
    *,
    title: str,
    caption: str,
    x_label: str,
    y_label: str,
    reference: tuple[float, str] | None = None,
    low: float = 0.0,
    high: float = 1.0,
    count_label: str = "",
    said: Callable[[float], str] = numerals.percent,
) -> Chart | None:
    """Return a chart of figures with their intervals, from (label, {"estimate", "low", "high", "n"}); None if empty.

    `said` writes a figure; shares are written in per cent. The word for the line across the chart has its right edge to
    itself, so that it lies on no interval.
    """
    if not figures:
        return None
    y_at = nice_ticks(low, high)
    kept = GAP + LETTER * len(reference[1]) if reference else 0.0
    slot = (WIDTH - RIGHT - LEFT - kept) / len(figures)

    def y_of(y: float) -> float:
        return _scale(low, high, HEIGHT - BOTTOM, TOP, min(high, max(low, y)))

    whiskers = [
        Whisker(
            label=label,
            x=round(LEFT + (i + 0.5) * slot, 1),
            y=y_of(figure["estimate"]),
            y_low=y_of(figure["low"]),
            y_high=y_of(figure["high"]),
            estimate=figure["estimate"],
            low=figure["low"],
            high=figure["high"],
            n=int(figure["n"]),
        )
        for i, (label, figure) in enumerate(figures)
    ]
    every = max(1, math.ceil(len(whiskers) / 10))
    return Chart(
        title=title,
        caption=caption,
        x_label=x_label,
        y_label=y_label,
        x_ticks=[Tick(w.x, _fitting(w.label, room=slot * every)) for w in whiskers[::every]],
        y_ticks=[Tick(y_of(y), said(y)) for y in y_at if low <= y <= high],
        whiskers=whiskers,
        reference=Tick(y_of(reference[0]), reference[1]) if reference else None,
        columns=[x_label, y_label, _("95%% interval") % {}, count_label or _("Judgements")],
        rows=[
            [
                w.label,
                said(w.estimate),
                numerals.span(said(w.low), said(w.high)),
                str(w.n),
            ]
            for w in whiskers
        ],
    )


def _fitting(label: str, *, room: float) -> str:
    """Return as much of a label as has `room`, in user units; the whole of it is in the table."""
    most = max(4, int(room / LETTER))
    return label if len(label) <= most else f"{label[: most - 1]}…"
