"""The images of a safety suite: read where its rows have them, and kept as images of a campaign.

A row of LabSafety Bench names its image in ``Image Path``, or has it in ``Decoded Image`` as `datasets` writes one. A
suite comes with all of its images or with none: one that is missing among others is a mistake, and is named. What is
kept of a row names the image by its hash, as a file's name may give the answer away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from django.utils.translation import gettext as _

from annotation.importing.albums import Album
from annotation.importing.illustrations import illustrated
from annotation.importing.mapping import Columns
from annotation.importing.rows import Row
from annotation.messages import Part
from annotation.models import Campaign, Image
from training.errors import Invalid

NAMED, DECODED = "Image Path", "Decoded Image"
_SHA256 = re.compile(r"[0-9a-f]{64}")

Numbered = list[tuple[int, Any]]


def with_images(
    rows: Numbered, *, name: str, album: Album, came_along: bool = False, lenders: Iterable[Campaign] = ()
) -> Numbered:
    """Return the rows of a suite with each image named by its hash, once it is kept; Invalid names a row without.

    Where no image came along at all they are as they were: then its questions in text alone can still be asked.
    `came_along` says that images were sent, in an archive. `lenders` are campaigns whose images the suite may show.
    """
    given = {number: source for number, row in rows if (source := _source(row)) is not None}
    for source in given.values():
        _borrow(source, album, list(lenders))
    if not came_along and not any(_is_here(source, album) for source in given.values()):
        return rows
    kept = {number: _read(source, number, name, album) for number, source in given.items()}
    album.keep(set(kept.values()))
    return [(number, {**row, NAMED: kept[number]} if number in kept else row) for number, row in rows]


def part_of(image: str, campaign: Campaign) -> Part | None:
    """Return the image of a question as a part of a message; None where the campaign does not have it."""
    if not _SHA256.fullmatch(image):
        return None
    found = Image.objects.filter(campaign=campaign, sha256=image).first()
    if found is None:
        return None
    return {"type": "image", "image": found.sha256, "width": found.width, "height": found.height, "alt": ""}


def _source(row: dict[str, Any]) -> Any:
    """Return where a row has its image: bytes, a data URI, or a name; None where it shows none."""
    decoded = row.get(DECODED)
    if isinstance(decoded, bytes) or (isinstance(decoded, str) and decoded.startswith("data:image/")):
        return decoded
    if isinstance(decoded, dict) and decoded.get("bytes"):
        data = decoded["bytes"]
        if isinstance(data, str) and not data.startswith("data:"):  # as JSON has bytes; what it is its bytes say
            return f"data:;base64,{data}"
        return data
    named = row.get(NAMED)
    return named.strip() if isinstance(named, str) and named.strip() else None


def _is_here(source: Any, album: Album) -> bool:
    if not isinstance(source, str) or source.startswith("data:"):
        return True
    return album.has(source) if _SHA256.fullmatch(source) else album.files.has(source)


def _borrow(source: Any, album: Album, lenders: Sequence[Campaign]) -> None:
    if isinstance(source, str) and _SHA256.fullmatch(source) and lenders and not album.has(source):
        image = Image.objects.filter(campaign__in=lenders, sha256=source).first()
        if image is not None:
            album.borrow(image)


def _read(source: Any, number: int, name: str, album: Album) -> str:
    (read,) = illustrated([Row(number, {"prompt": "?", "image": source})], Columns(), album)
    if read.value is None:
        message = _("Row {number} of {name}: {why}").format(number=number, name=name, why=read.reason)
        raise Invalid(message, {"suite": [message]})
    return str(read.value["images"][0]["image"])
