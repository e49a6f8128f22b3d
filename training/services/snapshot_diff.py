"""What changed between two frozen data sets of one view."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import orjson
from django.utils.translation import gettext as _

from training.errors import Invalid
from training.models import Snapshot
from training.services import snapshots

# Of each kind, so many rows are shown; all are counted.
SHOWN = 50

Key = tuple[Any, ...]


@dataclass
class Difference:
    """How many rows are only in the newer one, only in the older one, in both but not the same, and in both."""

    added: int = 0
    removed: int = 0
    changed: int = 0
    same: int = 0
    # [{"what": "added", "removed" or "changed", "task", "annotator", "columns": names of what changed, "row"}]
    rows: list[dict[str, Any]] = field(default_factory=list)


def difference(older: Snapshot, newer: Snapshot) -> Difference:
    """Return what changed from `older` to `newer`; raises `Invalid` for two views.

    A row is the same one when it is about the same item by the same person (a prompt: has the same id), and of several
    such rows the same in their order; so an amended judgement is a change. Holds about two hundred bytes per row.
    """
    if older.view != newer.view:
        told = _("Snapshot {older} has {one} and snapshot {newer} {other}; compare two of one view.")
        message = told.format(older=older.pk, one=older.view, newer=newer.pk, other=newer.view)
        raise Invalid(message, {"with": [message]})
    found = Difference()
    before: dict[Key, bytes] = {}
    for key, row in _keyed(older):
        before[key] = _hash(row)
    changed: dict[Key, dict[str, Any]] = {}
    shown = Counter[str]()

    def show(what: str, row: dict[str, Any]) -> None:
        if shown[what] < SHOWN:
            shown[what] += 1
            about = {name: row.get(name) for name in ("task", "annotator")}
            found.rows.append({"what": what, **about, "columns": [], "row": row})

    for key, row in _keyed(newer):
        known = before.pop(key, None)
        if known is None:
            found.added += 1
            show("added", row)
        elif known == _hash(row):
            found.same += 1
        else:
            found.changed += 1
            if len(changed) < SHOWN:
                changed[key] = row
    found.removed = len(before)
    if before or changed:
        for key, row in _keyed(older):
            if key in before:
                show("removed", row)
            elif key in changed:
                new = changed[key]
                columns = sorted(name for name in {*row, *new} if row.get(name) != new.get(name))
                about = {name: new.get(name) for name in ("task", "annotator")}
                found.rows.append({"what": "changed", **about, "columns": columns, "row": new})
    return found


def _keyed(snapshot: Snapshot) -> Any:
    counts: Counter[Key] = Counter()
    for row in snapshots.lines(snapshot):
        key: Key = (row.get("task"), row.get("annotator")) if "task" in row else (row.get("id"), row.get("annotator"))
        counts[key] += 1
        yield (*key, counts[key]), row


def _hash(row: dict[str, Any]) -> bytes:
    return hashlib.sha256(orjson.dumps(row, option=orjson.OPT_SORT_KEYS)).digest()[:16]
