"""How a setting names principles that a model judges by. Standard library only."""

from __future__ import annotations

HELP = "what a principle model scores by; several with semicolons between them"


def listed(told: str) -> list[str]:
    """Return the principles that a setting names, which are separated by semicolons."""
    return [one for part in told.split(";") if (one := part.strip())]
