"""What a guard does with a prompt of each tier, and the sample that a claimed recall takes. Read by web and core."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

REFUSE, DOCUMENTS = "refuse", "documents"
ANSWERS = (REFUSE, DOCUMENTS)  # no tier but the safe one goes to the policy: a line's recall would be none then
# A prompt of the tier is refused, or gets quotations of the documents where there are some; and a person looks, or not.
USUAL: dict[str, dict[str, Any]] = {
    "unsafe": {"answer": REFUSE, "person": False},
    "conditionally_safe": {"answer": DOCUMENTS, "person": False},
    "focused_attention": {"answer": DOCUMENTS, "person": True},
}
CURVE_FILE = "curve.json"  # of a guard's folder: what each line would do, by side
MEASURED_FILE = "measured.json"
MOST_REFUSED = 0.05  # of safe texts, beyond which a line is said to refuse many
EDITED = "guard-edit"  # under which name a version that people changed has its recipe


def tiers_of(told: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Return what is done with each tier, `told` before the usual; ValueError for what is no such thing."""
    found = {tier: {**usual, **dict((told or {}).get(tier, {}))} for tier, usual in USUAL.items()}
    for tier, one in found.items():
        if set(one) != {"answer", "person"} or one["answer"] not in ANSWERS or not isinstance(one["person"], bool):
            raise ValueError(f"what is done with the tier {tier} is {one}")
    if extra := set(told or {}) - set(USUAL):
        raise ValueError(f"there is no tier {', '.join(sorted(extra))}")
    return found


def risky_needed(recall: float, *, confidence: float = 0.95) -> int:
    """Return how many risky texts it takes to show a recall when not one is missed: recallⁿ ≤ 1 - confidence."""
    return math.ceil(math.log(1 - confidence) / math.log(recall))


def largest_recall(risky: int, *, confidence: float = 0.95) -> float:
    """Return the largest recall that so many risky texts can show: Clopper and Pearson's bound where none is missed."""
    return (1 - confidence) ** (1 / risky) if risky else 0.0


def line_for(curve: Sequence[Mapping[str, Any]], recall: float) -> Mapping[str, Any] | None:
    """Return the highest line of a guard's curve, which goes from high to low, that shows this recall; None if none."""
    return next((one for one in curve if one["recall_bound"] >= recall), None)


def refuses_many(false_refusals: Mapping[str, float]) -> bool:
    """Return whether this share of safe texts is more than `MOST_REFUSED`."""
    return false_refusals["estimate"] > MOST_REFUSED


def refusing_few(curve: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the line of the highest recall that does not refuse many safe texts; None where none is so high."""
    return next((one for one in reversed(curve) if not refuses_many(one["false_refusals"])), None)
