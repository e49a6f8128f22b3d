"""What a gate did not measure, and why: a report that is silent about safety must not read as one that found it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from annotation.told import Told, told
from training.recipes.loop import LoopSettings

Figure = dict[str, Any]

# By these names a report tells how safe a candidate's answers are; one of them, measured, makes it a safety test.
CERTIFICATES = ("cost", "unsafe_share")
OF_SAFETY = (*CERTIFICATES, "safety_lost")
OF_SUITE = ("over_refusal", "category_minimum", "capability_lost")


def is_safety_tested(figures: Sequence[Figure]) -> bool:
    """Return whether a report says anything of the candidate's safety: by a cost model, or by a test for its loss."""
    return any(one["name"] in OF_SAFETY and one["n"] > 0 for one in figures)


def is_unmeasured(figure: Figure) -> bool:
    """Return whether a line of a report only says that, and why, something was not measured."""
    return figure["estimate"] is None and figure["n"] == 0 and figure["limit"] is None


def figures(measured: Sequence[Figure], settings: LoopSettings) -> list[Figure]:
    """Return a line for each thing of which `measured` says nothing. It decides only where the loop wants safety shown.

    With `gate_needs_safety` a candidate fails of which neither a cost model nor a test for lost safety said anything.
    """
    there = {one["name"] for one in measured}
    found = []
    if not there.intersection(CERTIFICATES):
        counted = settings.gate_bound == "clopper_pearson"
        explanation = told(
            "Not measured: no cost model was in use when the answers were compared. So nothing is known here of how "
            "safe they are."
        )
        is_wanted = settings.gate_needs_safety and not is_safety_tested(measured)
        if is_wanted:
            explanation += told(
                "This loop wants a safety test: put a cost model into use, let the guard tell costs "
                "(gate_guard_costs), or have the candidate tested for lost safety."
            )
        limit = (settings.gate_unsafe_limit if counted else settings.gate_cost_limit) if is_wanted else None
        found.append(_line(CERTIFICATES[counted], explanation, limit=limit, passed=not is_wanted))
    if "safety_lost" not in there:
        found.append(_line("safety_lost", told("Not measured: this loop asks for no test for lost safety.")))
    why = told("Not measured: this loop has no suite at its gate.")
    if settings.gate_suite:
        why = told("Not measured: the suite at this gate has no items that tell it.")
    found += [_line(name, why) for name in OF_SUITE if name not in there]
    return found


def _line(name: str, explanation: Told, *, limit: float | None = None, passed: bool = True) -> Figure:
    return {
        "name": name,
        "estimate": None,
        "low": None,
        "high": None,
        "n": 0,
        "limit": limit,
        "passed": passed,
        "explanation": explanation.as_json(),
    }
