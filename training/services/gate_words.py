"""What every figure of a gate says in the same words."""

from __future__ import annotations

from annotation.told import Told, told


def decided(by_bound: bool, *, bound: str) -> Told:
    """Return in a sentence whether a figure's bound decided, and which, or its estimate."""
    if by_bound:
        return told("The end of the interval decides (by {bound}).", bound=bound)
    return told("The estimate decides, as this loop is set, and may be luck within the interval.")
