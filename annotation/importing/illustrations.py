"""The images in a row: found where data sets put them, read, and replaced by the parts that messages have.

Taken are ``{"type": "image", "image": …}`` and ``{"type": "image_url", "image_url": {"url": …}}`` in messages and
answers; ``{"image": …}`` as an answer; the struct ``{"bytes", "path"}`` of `datasets`; bytes in a Parquet column; a
cell that is a data URI or the name of an image that came along; and the columns `image` and `images`, which belong to
the prompt (with a placeholder ``{"type": "image"}`` for each, as TRL has it, or without any). An image itself is a data
URI, base64, such a struct, or a name. Nothing is fetched from anywhere: an address in a row could make the server ask
for what only the server may see.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import Any

from django.utils.translation import gettext as _

from annotation.importing import threads
from annotation.importing.albums import Album
from annotation.importing.items import Refused
from annotation.importing.mapping import Columns
from annotation.importing.pictures import SUFFIXES, looks_like_one
from annotation.importing.rows import Row
from annotation.messages import Part

MAX_IMAGES = 20  # in one row
MAX_ALT = 1000
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DATA_URI = re.compile(r"data:([a-z0-9.+/-]*)(;[^,]*)?,", re.IGNORECASE)
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
# What says something about an item or an answer, and is never shown.
_ABOUT = (
    "id",
    "meta",
    "batch",
    "domain",
    "origin",
    "model",
    "role",
    "type",
    "alt",
    "priority",
    "wanted",
    "gold",
    "suggestion",
)
_TYPES = ("image", "image_url", "input_image")


def illustrated(rows: Iterable[Row], columns: Columns, album: Album) -> Iterator[Row]:
    """Yield the rows with every image in them as a part of a message; those with a bad one have the reason."""
    named = {name for name in (columns.id, columns.domain, columns.batch, columns.together, *columns.labels) if name}
    for row in map(threads.unwrapped, rows):
        if row.value is None or row.reason:
            yield row
            continue
        reader = _Reader(album, {*_ABOUT, *named})
        try:
            value = reader.row(row.value)
        except Refused as refused:
            yield replace(row, reason=str(refused), value=None, original=row.value)
            continue
        # What is refused is given back as it came, with its images.
        yield replace(row, value=value, original=row.value) if reader.found else row


def count_of(value: Any) -> int:
    """Return about how many images a row has, without reading any."""
    if isinstance(value, dict):
        own = int("image" in value or value.get("type") in _TYPES or isinstance(value.get("bytes"), bytes))
        return own + sum(count_of(part) for part in value.values())
    if isinstance(value, list):
        return sum(map(count_of, value))
    return int(isinstance(value, bytes) or (isinstance(value, str) and value.startswith("data:image/")))


class _Reader:
    """Reads the images of one row."""

    def __init__(self, album: Album, about: Collection[str]) -> None:
        self._album, self._about = album, about
        self._waiting: list[Part] | None = None  # for the placeholders
        self.found = 0

    def row(self, row: dict[str, Any]) -> dict[str, Any]:
        given = [row.get(name) for name in ("image", "images") if row.get(name) is not None]
        several = [one for value in given for one in (value if isinstance(value, list) else [value])]
        self._waiting = [self._part({"image": one}, _("The image of its prompt")) for one in several if one is not None]
        apart = list(self._waiting)
        read = {name: self._column(name, value) for name, value in row.items() if name not in ("image", "images")}
        if self._waiting and len(self._waiting) < len(apart):
            raise Refused(
                _("It has {apart} images, and placeholders for fewer; give as many of each."), apart=len(apart)
            )
        # Without placeholders they go before the text of the prompt, as TRL puts them.
        return {**read, "images": self._waiting} if self._waiting else read

    def _column(self, name: str, value: Any) -> Any:
        if name in self._about:
            return _without_bytes(value)
        if name == "completions" and isinstance(value, list):
            return [
                self._answer(one, _("The image of completion {place}").format(place=place))
                for place, one in enumerate(value, start=1)
            ]
        return self._value(value, _("The image in its {name}").format(name=name[:40]))

    def _answer(self, value: Any, words: str) -> Any:
        """Return one of `completions`; ``{"image": …, "text"?, "origin"?}`` becomes an answer of parts."""
        if not isinstance(value, dict) or "type" in value or not ("image" in value or "images" in value):
            return self._value(value, words)
        several = value.get("images")
        given = [value.get("image"), *(several if isinstance(several, list) else [several])]
        parts: list[Part] = [
            self._part({"image": one, "alt": value.get("alt")}, words) for one in given if one is not None
        ]
        if isinstance(value.get("text"), str) and value["text"]:
            parts.append({"type": "text", "text": value["text"]})
        kept = {name: part for name, part in value.items() if name not in ("image", "images", "alt")}
        return {**kept, "text": parts}

    def _value(self, value: Any, words: str) -> Any:
        if isinstance(value, list):
            return [self._value(part, words) for part in value]
        if isinstance(value, dict):
            return self._object(value, words)
        if isinstance(value, bytes):
            return self._part({"image": value}, words) if looks_like_one(value) else None
        if isinstance(value, str) and (value.startswith("data:image/") or self._names_a_file(value)):
            return self._part({"image": value}, words)
        return value

    def _object(self, value: dict[str, Any], words: str) -> Any:
        if value.get("type") in _TYPES:
            return self._typed(value, words)
        if _is_struct(value):
            return self._part({"image": value}, words)
        return {
            name: _without_bytes(part) if name in self._about else self._value(part, words)
            for name, part in value.items()
        }

    def _typed(self, value: dict[str, Any], words: str) -> Part:
        given = next((value[name] for name in ("image", "image_url", "url", "source") if value.get(name)), None)
        if isinstance(given, dict) and not _is_struct(given):
            given = given.get("url") or given.get("data")
        if given is not None:
            return self._part({"image": given, "alt": value.get("alt")}, words)
        if not self._waiting:
            raise Refused(_("It has a placeholder for an image, and no image for it in its images."))
        return self._waiting.pop(0)

    def _names_a_file(self, value: str) -> bool:
        return len(value) < 400 and value.lower().endswith(SUFFIXES) and self._album.files.has(value)

    def _part(self, given: dict[str, Any], words: str) -> Part:
        self.found += 1
        if self.found > MAX_IMAGES:
            raise Refused(_("It has more than {most} images."), most=MAX_IMAGES)
        alt = given.get("alt") or ""
        if not isinstance(alt, str) or len(alt) > MAX_ALT:
            raise Refused(
                _("{words} has a description (alt) that is no text of at most {most} characters."),
                words=words,
                most=MAX_ALT,
            )
        try:
            return self._read(given["image"]) | {"alt": alt.strip()}
        except Refused as refused:
            raise Refused(_("{image} {reason}."), image=words, reason=refused) from None

    def _read(self, value: Any) -> Part:
        if isinstance(value, bytes):
            return self._album.add(value)
        if isinstance(value, dict) and _is_struct(value):
            data = value.get("bytes")
            if isinstance(data, str):  # as JSON has bytes
                return self._named(data)
            return self._album.add(data) if data else self._read(value.get("path"))
        if isinstance(value, dict) and _SHA256.fullmatch(str(value.get("sha256"))):  # as our own exports name it
            return self._album.known(value["sha256"])
        if isinstance(value, dict):
            return self._read(value.get("url") or value.get("image"))
        if not isinstance(value, str) or not value.strip():
            raise Refused(_("is missing"))
        return self._named(value.strip())

    def _named(self, value: str) -> Part:
        if _SHA256.fullmatch(value):
            return self._album.known(value)
        if _DATA_URI.match(value[:200]):
            return self._album.add(_from_data_uri(value))
        if _ADDRESS.match(value):
            raise Refused(
                _(
                    "is an address, and nothing is fetched from anywhere; put the image itself into the row, or rows "
                    "and images into one ZIP archive"
                )
            )
        if self._album.files.has(value) or len(value) < 400:
            try:
                return self._album.add(self._album.files.read(value))
            except Refused as refused:
                raise Refused(f"{value[:80]!r} {refused}") from None
        return self._album.add(_decoded(value))


def _is_struct(value: dict[str, Any]) -> bool:
    """Return whether this is how `datasets` writes an image."""
    return "bytes" in value and value.keys() <= {"bytes", "path"}


def _from_data_uri(value: str) -> bytes:
    head, _comma, rest = value.partition(",")
    if not head.lower().endswith(";base64"):
        raise Refused(_("is a data URI without base64; write it as data:image/png;base64,…"))
    return _decoded(rest)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Refused(_("is neither a data URI, nor base64, nor the name of a file")) from None


def _without_bytes(value: Any) -> Any:
    """Return the value with None for bytes: pictures have no place in the labels of an item."""
    if isinstance(value, dict):
        return {name: _without_bytes(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_without_bytes(part) for part in value]
    return None if isinstance(value, bytes) else value
