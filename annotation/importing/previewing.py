"""The first rows of a file as the items they would become; nothing is stored."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass

from annotation.importing import threads
from annotation.importing.albums import Album
from annotation.importing.attachments import Files
from annotation.importing.illustrations import count_of
from annotation.importing.items import Item
from annotation.importing.mapping import MAX_NAME, Columns
from annotation.importing.outcomes import outcomes
from annotation.importing.rows import Row
from annotation.models import Campaign
from annotation.services.intake import LineError
from annotation.storable import printable, unstorable

MAX_ROWS = 200
MAX_CHARACTERS = 8_000_000
MAX_ITEMS = 5
MAX_IMAGES = 12  # each takes a moment to be decoded and encoded
MAX_COLUMNS = 60


@dataclass(frozen=True)
class Preview:
    columns: list[str]  # of the rows that were read
    items: list[tuple[int, Item]]  # the first few, with their lines
    refused: list[LineError]
    taken: int  # items that the rows would give
    rows: int
    is_whole: bool  # whether the file has no more rows
    thumbnails: dict[str, str]  # of the images in `items`, as data URIs by hash


def columns_of(rows: Iterable[Row]) -> list[str]:
    """Return the names of the columns of some rows, as they first come; not of what is in a file of refused rows."""
    names = {name: None for row in map(threads.unwrapped, rows) for name in row.value or {}}
    return [name for name in names if 0 < len(name) <= MAX_NAME and not unstorable(name)][:MAX_COLUMNS]


def first_rows(rows: Iterable[Row]) -> tuple[list[Row], bool]:
    """Return the first rows, no more than a chunk of an import holds, and whether that is all of them."""
    read: list[Row] = []
    characters = images = 0
    for row in rows:
        if len(read) >= MAX_ROWS or characters >= MAX_CHARACTERS or images >= MAX_IMAGES:
            return read, False
        read.append(row)
        characters += row.size
        images += count_of(row.value)
    return read, True


def preview(*, campaign: Campaign, rows: Iterable[Row], columns: Columns, files: Files | None = None) -> Preview:
    """Return what an import of these rows, with the files that came along, would begin with."""
    with Album(campaign, files) as album:
        return _preview(campaign, rows, columns, album)


def _preview(campaign: Campaign, rows: Iterable[Row], columns: Columns, album: Album) -> Preview:
    read, is_whole = first_rows(rows)
    items: list[tuple[int, Item]] = []
    refused: list[LineError] = []
    taken = 0
    for outcome in outcomes(read, columns, campaign, album):
        line = outcome.row.line
        if outcome.reason:
            refused.append(LineError(line, printable(outcome.reason)))
        elif outcome.item is not None:
            taken += 1
            if len(items) < MAX_ITEMS:
                items.append((line, outcome.item))
    thumbnails = {
        sha256: f"data:image/webp;base64,{base64.b64encode(album.thumbnail(sha256)).decode()}"
        for _, item in items
        for sha256 in item.images
    }
    return Preview(columns_of(read), items, refused, taken, len(read), is_whole, thumbnails)
