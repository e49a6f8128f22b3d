"""Freezing a view of the judgements into a file that never changes."""

from __future__ import annotations

import hashlib
import json
import os
import random
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from annotation import datasets
from annotation.models import Campaign, User
from annotation.services import events
from training import paths
from training.errors import Invalid
from training.models import Snapshot

# What a snapshot may be narrowed by, as in `annotation.datasets.rows`; `replay` comes on top.
FILTERS = ("split", "batches", "include_audit", "include_simulated")


def freeze(*, campaign: Campaign, view: str, filters: dict[str, Any], actor: User | None) -> Snapshot:
    """Write the rows of `view` to ``snapshots/<sha256>.jsonl`` and return its row; the same bytes give the same row.

    `filters` are "split", "batches", "include_audit", "include_simulated" as in `annotation.datasets.rows`, and
    "replay": ``{"batches", "rows", "seed"}`` adds so many rows drawn at random from earlier batches.
    """
    unknown = sorted(set(filters) - set(FILTERS) - {"replay"})
    if unknown:
        told = _("A snapshot cannot be filtered by {unknown}; it can by {known}.")
        message = told.format(unknown=", ".join(unknown), known=", ".join(FILTERS))
        raise Invalid(message, {"filters": [message]})
    written = _write(_rows(campaign, view, filters))
    path = paths.stored(written.path)
    with transaction.atomic():
        snapshot, created = Snapshot.objects.get_or_create(
            campaign=campaign,
            view=view,
            sha256=written.sha256,
            defaults={
                "filters": filters,
                "rows": written.rows,
                "path": path,
                "feedback_ids": written.feedback_ids,
                "created_by": actor,
            },
        )
        if created:
            events.record(
                campaign=campaign,
                actor=actor,
                action="snapshot.frozen",
                target=f"snapshot {snapshot.pk}",
                detail={"view": view, "rows": written.rows, "sha256": written.sha256},
            )
    return snapshot


def _rows(campaign: Campaign, view: str, filters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    wanted = {name: value for name, value in filters.items() if name != "replay"}
    yield from datasets.rows(campaign, view, datasets.Filters(**wanted))
    replay = filters.get("replay")
    if replay and replay["batches"] and replay["rows"]:
        earlier = datasets.rows(campaign, view, datasets.Filters(**{**wanted, "batches": replay["batches"]}))
        yield from draw(earlier, count=replay["rows"], seed=replay["seed"])


def draw(rows: Iterable[dict[str, Any]], *, count: int, seed: int) -> list[dict[str, Any]]:
    """Return `count` of `rows` drawn at random without repetition, in their own order; all of them when fewer.

    Reservoir sampling (Vitter 1985, algorithm R), so that no more than `count` rows are held.
    """
    dice = random.Random(seed)
    kept: list[tuple[int, dict[str, Any]]] = []
    for position, row in enumerate(rows):
        if len(kept) < count:
            kept.append((position, row))
        elif (place := dice.randrange(position + 1)) < count:
            kept[place] = (position, row)
    return [row for _, row in sorted(kept, key=lambda pair: pair[0])]


class _Written:
    def __init__(self, path: Path, sha256: str, rows: int, feedback_ids: list[int]) -> None:
        self.path, self.sha256, self.rows, self.feedback_ids = path, sha256, rows, feedback_ids


def _write(rows: Iterable[dict[str, Any]]) -> _Written:
    """Return what was written; a crash leaves at most a file that ends in ``.part``."""
    folder = paths.files() / "snapshots"
    folder.mkdir(parents=True, exist_ok=True)
    digest, count = hashlib.sha256(), 0
    oldest: int | None = None
    newest: int | None = None
    with tempfile.NamedTemporaryFile("wb", dir=folder, suffix=".part", delete=False) as file:
        part = Path(file.name)
        try:
            for row in rows:
                line = (json.dumps(row, ensure_ascii=False) + "\n").encode()
                digest.update(line)
                file.write(line)
                count += 1
                feedback = row.get("feedback")
                if isinstance(feedback, int):
                    oldest = feedback if oldest is None else min(oldest, feedback)
                    newest = feedback if newest is None else max(newest, feedback)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    path = folder / f"{digest.hexdigest()}.jsonl"
    part.chmod(0o644)
    part.replace(path)
    ids = [oldest, newest] if oldest is not None and newest is not None else []
    return _Written(path, digest.hexdigest(), count, ids)


def lines(snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    """Return the rows of a snapshot, read from its file one at a time."""
    with Path(paths.resolve(snapshot.path)).open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
