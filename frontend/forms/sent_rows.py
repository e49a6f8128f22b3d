"""Rows of a form that are added and taken away by buttons, so that it works without a script: what was sent of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SentRows:
    """How many rows are left, and their data; `removed` is the number of the row that was just taken away."""

    data: Mapping[str, Any] | None
    count: int = 0
    is_bound: bool = False
    asks_another: bool = False
    removed: int | None = None

    @property
    def changes_rows(self) -> bool:
        """Say whether a row was to be added or taken away, so that whoever sent the form is not done."""
        return self.asks_another or self.removed is not None


def sent_rows(data: Mapping[str, Any] | None, *, name: str, row: str, most: int) -> SentRows:
    """Return what was sent of the rows of the list `name`, whose inputs begin with `row` and a number."""
    if data is None:
        return SentRows(None)
    sent = _number(data.get(f"{name}-rows"))
    count = min(sent, most) if sent is not None else 0
    removed = _number(data.get(f"{name}-remove"))
    if removed is not None and removed < count:
        data, count = _without(data, removed, row=row, of=count), count - 1
    else:
        removed = None
    return SentRows(data, count, sent is not None, f"{name}-another" in data, removed)


def _number(sent: Any) -> int | None:
    text = str(sent if sent is not None else "")
    return int(text) if text.isdecimal() and len(text) < 4 else None


def _without(data: Mapping[str, Any], number: int, *, row: str, of: int) -> dict[str, Any]:
    """Return what was sent without the row of this number; those behind it move up."""
    prefixes = [f"{row}-{n}-" for n in range(of)]
    kept = {name: value for name, value in data.items() if not name.startswith(tuple(prefixes))}
    for place, before in enumerate(prefixes):
        if place != number:
            after = prefixes[place - (place > number)]
            kept |= {after + n.removeprefix(before): v for n, v in data.items() if n.startswith(before)}
    return kept
