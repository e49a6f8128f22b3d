"""Files of rows, line by line: what is learned from, and a count and a reason for what is not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from training.core.records.kinds import SATISFIED, Pair, Record, answers_images, images_of
from training.core.records.parsing import PARSERS, where_they_part
from training.core.records.refusals import Refused, Tally


def weighted(records: Sequence[tuple[int, Record]], tally: Tally) -> list[tuple[int, Record]]:
    """Return the records that count at all: a batch of nothing but weight 0 has no mean."""
    kept = []
    for line, record in records:
        if isinstance(record, Pair) and record.annotator_weight == 0:
            tally.refuse("weightless", line)
        else:
            kept.append((line, record))
    return kept


def label_names(path: str | Path, view: str, *, images: bool = False) -> tuple[str, ...]:
    """Return the names of what the rows of a file are labelled with, in alphabetical order; of most views none.

    Rows with `images` count where they are learned from.
    """
    if view == "principles":
        return (SATISFIED,)
    if view != "ratings":
        return ()
    rows = read(path, view, Tally(), images=images)
    return tuple(sorted({name for _, record in rows for name in record.labels}))  # type: ignore[union-attr]


def read(
    path: str | Path, view: str, tally: Tally, *, audit: bool = False, images: bool = False, parted: bool = False
) -> list[tuple[int, Record]]:
    """Return (line number, record) of every usable row of the file; the others are counted in `tally`.

    Rows of the audit slice are kept only when `audit` says so: for evaluation, never for training. Rows with images
    are kept only for who can show them to a model, and pairs of whole dialogues, cut to the turn where they part, for
    who learns that turn by how the dialogues came out (`parted`).
    """
    with Path(path).open(encoding="utf-8") as file:
        return parse_lines(file, view, tally, audit=audit, images=images, parted=parted)


def parse_lines(
    lines: Iterable[str],
    view: str,
    tally: Tally,
    *,
    audit: bool = False,
    images: bool = False,
    parted: bool = False,
) -> list[tuple[int, Record]]:
    """Return what `read` does, of lines at hand."""
    parse = PARSERS[view]
    records = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        tally.counts["read"] += 1
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise Refused("malformed")
            record = parse(where_they_part(row) if parted else row)
            if record.audit and not audit:
                raise Refused("audit")
            if (images_of(record) or answers_images(record)) and not images:
                raise Refused("images")
        except json.JSONDecodeError:
            tally.refuse("malformed", number)
        except Refused as refusal:
            tally.refuse(str(refusal), number)
        else:
            records.append((number, record))
    return records
