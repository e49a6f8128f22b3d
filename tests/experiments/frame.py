"""The frame of the acceptance experiments: what a card claims, the figure it is held to, and its ablation.

A test reports a figure with `report(...)`. The report asserts twice: that the method meets the bound, and that the same
figure with the method switched off does not. An experiment that would pass without its method proves nothing.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from training.core.stats import Interval, mean_t

OUTPUT = "ATTUNE_EXPERIMENT_LINES"  # where `python -m tests.experiments` wants the lines


@dataclass(frozen=True)
class Card:
    """A paper's method and what it has to show here."""

    number: int
    method: str
    claim: str
    source: str


@dataclass(frozen=True)
class Line:
    """One row of the table of results."""

    card: int
    method: str
    claim: str
    source: str
    figure: str
    value: Interval
    bound: str
    switched_off: str  # what the ablation leaves out
    value_switched_off: float
    seeds: list[int]
    seconds: float
    cpu_seconds: float  # with those of the processes that the test started and waited for
    passed: bool


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of those it waited for."""
    return sum(os.times()[:4])


class Report:
    """Holds figures against their bounds and writes them down; the fixture `report` of a test."""

    def __init__(self) -> None:
        self._started, self._cpu_started = time.perf_counter(), cpu_seconds()

    def __call__(
        self,
        card: Card,
        figure: str,
        values: Sequence[float] | Interval,
        *,
        seeds: Sequence[int],
        switched_off: str,
        without: Sequence[float] | float,
        at_least: float | None = None,
        at_most: float | None = None,
        every_seed: bool = False,
        within: tuple[float, float] = (-math.inf, math.inf),
    ) -> None:
        """Assert that `values` (one a seed, or an interval) meet the bound and that `without` does not.

        Either `at_least` or `at_most` is given. With `every_seed` each value must meet it, else the mean must, and the
        interval (Student's t over the seeds) is told beside it, as far as such a figure goes (`within`). `without` is
        the figure with the method switched off, and its mean must miss the bound.
        """
        assert (at_least is None) != (at_most is None), "give one bound"
        numbers = [] if isinstance(values, dict) else [float(value) for value in values]
        assert isinstance(values, dict) or len(numbers) == len(seeds), "one value a seed"
        value = values if isinstance(values, dict) else mean_t(numbers, within=within)
        off = without if isinstance(without, float | int) else sum(without) / len(without)

        def meets(number: float) -> bool:
            assert math.isfinite(number), f"{figure} is {number}"
            return number >= at_least if at_least is not None else number <= at_most  # type: ignore[operator]

        held = all(map(meets, numbers)) if every_seed else meets(value["estimate"])
        bound = (f"≥ {at_least:g}" if at_least is not None else f"≤ {at_most:g}") + (" on every seed" * every_seed)
        line = Line(
            card=card.number,
            method=card.method,
            claim=card.claim,
            source=card.source,
            figure=figure,
            value={name: round(number, 4) for name, number in value.items()},
            bound=bound,
            switched_off=switched_off,
            value_switched_off=round(off, 4),
            seeds=list(seeds),
            seconds=round(time.perf_counter() - self._started, 1),
            cpu_seconds=round(cpu_seconds() - self._cpu_started, 1),
            passed=held and not meets(off),
        )
        self._write(line)
        told = f"{figure}: {numbers or value}, switched off ({switched_off}): {off:.4f}"
        assert held, f"misses {bound}. {told}"
        assert not meets(off), f"the ablation meets {bound} too. {told}"

    def _write(self, line: Line) -> None:
        print(json.dumps(asdict(line), ensure_ascii=False))
        if path := os.environ.get(OUTPUT):
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(line), ensure_ascii=False) + "\n")
