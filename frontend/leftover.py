"""What a run of A-LoL learns from and throws away, and how far its answers' weights have gone, as histograms."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _

from frontend import charts
from frontend.numerals import percent, span
from training import store
from training.models import Run
from training.recipes import RECIPES

FILE = "leftover.json"


def of_run(run: Run) -> dict[str, Any]:
    """Return the histograms of a run, before its end as well, as they are written before training; {} without any."""
    recipe = RECIPES.get(run.recipe.get("name", ""))
    if recipe is None or recipe.part("baseline") is None:
        return {}
    try:
        found: dict[str, Any] = json.loads(store.run_file(run.pk, FILE).read_text())
    except FileNotFoundError:  # it has not come to this yet, or somebody cleared a disk
        return {}
    return found


def charts_of(run: Run) -> list[charts.Chart]:
    """Return the histogram of a run's advantages, and at its end that of its answers' weights."""
    told = of_run(run)
    if not told:
        return []
    found = [_advantages(told)]
    if "weights" in told:
        found.append(_weights(told["weights"], (run.result or {}).get("metrics", {})))
    return found


def rows_of(run: Run) -> Iterator[list[Any]]:
    """Yield the bars: which figure, nothing, nothing, from where, to where, and how many answers."""
    told = of_run(run)
    for name in ("advantages", "weights"):
        for bar in told.get(name, []):
            yield [name, "", None, bar["low"], bar["high"], bar["n"]]


def _advantages(told: Mapping[str, Any]) -> charts.Chart:
    bars: Sequence[Mapping[str, float]] = told["advantages"]
    kept = told["kept"] / told["n"]
    thrown = [i for i, bar in enumerate(bars) if bar["high"] <= 0]
    rows = [
        (
            "",
            # Translators: the rows of a table, such as "−0.1 to 0, thrown away".
            (_("{bar}, thrown away") if i in thrown else _("{bar}, kept")).format(bar=_between(bar)),
            int(bar["n"]),
        )
        for i, bar in enumerate(bars)
    ]
    ends = [*(bar["low"] for bar in bars), bars[-1]["high"]]
    # 0 is written whatever else is: there the kept ones begin.
    zero = min(range(len(ends)), key=lambda i: abs(ends[i]))
    return charts.bar_chart(
        rows,
        title=_("Advantages"),
        caption=_(
            "{kept} of the answers were better than their prompt let expect and are learned from. The other {thrown}, "
            "in hollow bars, are thrown away."
        ).format(kept=percent(kept), thrown=percent(1 - kept)),
        x_label=_("reward above what was expected"),
        y_label=_("answers"),
        hollow=thrown,
        edges=[(i, charts.short(end)) for i, end in enumerate(ends) if (i - zero) % 2 == 0],
    )


def _weights(bars: Sequence[Mapping[str, float]], metrics: Mapping[str, Any]) -> charts.Chart:
    clipped = [i for i, bar in enumerate(bars) if bar["low"] == bar["high"]]
    rows = [
        (
            "",
            _("{bar}, clipped").format(bar=charts.short(bar["low"])) if i in clipped else _between(bar),
            int(bar["n"]),
        )
        for i, bar in enumerate(bars)
    ]
    n = sum(count for _label, _words, count in rows) or 1
    ratios = [charts.short(metrics.get(f"logratio_{name}", float("nan"))) for name in ("low", "median", "high")]
    return charts.bar_chart(
        rows,
        title=_("Weights of what was learned from"),
        caption=_(
            "{clipped} of the weights are clipped, in hollow bars. Unclipped, their logarithms are {low}, {median} and "
            "{high} at a tenth, a half and nine tenths of the answers."
        ).format(
            clipped=percent(sum(rows[i][2] for i in clipped) / n), low=ratios[0], median=ratios[1], high=ratios[2]
        ),
        x_label=_("times as likely as under the reference"),
        y_label=_("answers"),
        hollow=clipped,
        edges=[(i + 1, charts.short(bar["low"])) for i, bar in enumerate(bars[1:]) if i % 3 == 0],
    )


def _between(bar: Mapping[str, float]) -> str:
    return span(charts.short(bar["low"]), charts.short(bar["high"]))
