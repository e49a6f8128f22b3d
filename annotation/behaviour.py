"""How a judgement came about, as the page measured it: what the measures are, and which of them can be true."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

MEASURES = {
    "first_action_seconds": "seconds from when the item was shown to the first key or click",
    "answered": "active seconds after which each input last changed, by its name as in the payload schema",
    "changes": "how often a value that had been chosen was changed",
    "read": "share of each answer that was scrolled into view, 0 to 1 each; null where it was not measured",
    "typed": "characters typed into text fields",
    "pasted": "characters pasted or dropped into text fields",
}
# Beyond these no person can have done it in one sitting: a clock or a script is broken.
_MOST = {"first_action_seconds": 86_400, "changes": 10_000, "typed": 1_000_000, "pasted": 1_000_000}
_MOST_INPUTS = 500
_INPUT = re.compile(r"[\w-]{1,80}")
_COUNTS = ("changes", "typed", "pasted")


def plausible(sent: Any, *, shown_order: Sequence[int]) -> dict[str, Any] | None:
    """Return what can be true of the measures a browser sent, or None; never an error, for a judgement is worth more.

    In `sent`, "read" is in the order shown; in what is returned it is in canonical order.
    """
    if not isinstance(sent, dict):
        return None
    kept: dict[str, Any] = {}
    for name, most in _MOST.items():
        value = _number(sent.get(name), most)
        if value is not None and (name not in _COUNTS or value == int(value)):
            kept[name] = int(value) if name in _COUNTS else round(value, 3)
    answered = sent.get("answered")
    if isinstance(answered, dict) and len(answered) <= _MOST_INPUTS:
        times = {name: _number(value, 86_400) for name, value in answered.items() if _INPUT.fullmatch(name)}
        if seconds := {name: round(value, 1) for name, value in times.items() if value is not None}:
            kept["answered"] = seconds
    shares = sent.get("read")
    if isinstance(shares, list) and len(shares) == len(shown_order):
        read: list[float | None] = [None] * len(shown_order)
        for position, share in zip(shown_order, shares, strict=True):
            value = _number(share, 1)
            read[position] = None if value is None else round(value, 3)
        if any(share is not None for share in read):
            kept["read"] = read
    return kept or None


def _number(value: Any, most: float) -> float | None:
    """Return `value` if it is a number from 0 to `most`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        return None
    return value if math.isfinite(value) else None
