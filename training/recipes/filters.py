"""The filters of rollouts that a report compares, by the names of its figures. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping

NO_FILTER = "all"  # the slot `filter` is empty
WORTH_A_TRY = 0.02  # of R², above that of all answers
FIGURE = "trust_"


def chosen(squares: Mapping[str, float]) -> str:
    """Return the filter with the highest R²; `NO_FILTER` where none is worth a try beside all answers."""
    best = max(squares, key=lambda name: squares[name])
    worth_it = NO_FILTER not in squares or squares[best] >= squares[NO_FILTER] + WORTH_A_TRY
    return best if worth_it else NO_FILTER


def figure_of(name: str) -> str:
    """Return under which name a run has the R² of a filter among its figures."""
    return FIGURE + name.replace("-", "_")


def filter_of(figure: str) -> str | None:
    """Return the filter of which a figure of this name is the R²; None of another figure."""
    return figure.removeprefix(FIGURE).replace("_", "-") if figure.startswith(FIGURE) else None
