"""Which reward models give several scores of an answer, and what a recipe that learns from one is to do with them.

Standard library only. A form, a request, the command line and the run itself refuse the same, before anything is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.recipes.note import Note

OF_ATTRIBUTES, OF_GATES = "multi-objective", "gated-objectives"  # recipes whose models score by several attributes


def against(parts: Mapping[str, Any], made_by: str | None) -> Note | None:
    """Return why these `parts` (by slot) cannot learn from a model of the recipe `made_by`; None where they can.

    The first of its scores would be one attribute, whichever was rated first, and nobody would be told. None as the
    recipe is a model that nobody knows the making of.
    """
    combine = getattr(parts.get("combine"), "name", "")
    if combine == "gated" and made_by not in (None, OF_GATES):
        return Note("These scores have no mixture. Train the recipe gated-objectives, or choose another way.")
    alone = combine == "first"
    by_name = hasattr(parts.get("advantage"), "score_weights")  # takes its scores by their names
    if not alone or by_name or made_by not in (OF_ATTRIBUTES, OF_GATES):
        return None
    if made_by == OF_GATES:
        return Note(
            "This reward model gives a score for each attribute and their mixture, and this recipe would learn from "
            "the first attribute alone. Choose gated for how scores are combined (combine)."
        )
    return Note(
        "This reward model gives a score for each attribute, and this recipe would learn from the first alone. Choose "
        "weighted-sum or mean for how scores are combined (combine), or train gated-objectives on it and choose gated."
    )
