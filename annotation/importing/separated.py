"""Rows out of CSV and TSV: UTF-8 with or without a mark, cells in quotes over several lines, empty cells no value."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, BinaryIO

from django.utils.translation import gettext as _

from annotation.importing.rows import MAX_LINE_BYTES, Row, Unreadable

# The module's own bound is 131,072 characters a cell, which an answer may well have.
csv.field_size_limit(MAX_LINE_BYTES)


class _Lines:
    """The lines of the file as text, and how much has been read for the row that is being put together."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.number = 0
        self.size = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_LINE_BYTES + 3)
        if not line:
            raise StopIteration
        self.number += 1
        self.size += len(line)
        if self.size > MAX_LINE_BYTES:
            raise Unreadable(
                _("The row that ends on line {number} is too long; is a quotation mark left open?"), number=self.number
            )
        # Bytes that are no UTF-8 become lone surrogates, so that only their own row is refused.
        text = line.decode(errors="surrogateescape")
        return text.removeprefix("\ufeff") if self.number == 1 else text


def separated_rows(file: BinaryIO, *, separator: str = "") -> Iterator[Row]:
    """Yield the rows below the header; without a separator the header tells which of ``,`` ``;`` and tab it is.

    A cell that holds a list of messages or of answers, or a `meta` object, in JSON is read as such: that is how tables
    with such columns are saved as CSV. Raises `Unreadable` when there is no header, or no end to a row.
    """
    lines = _Lines(file)
    first = next(lines, "")
    separator = separator or max(",;\t", key=first.count)
    reader = csv.reader(_after(first, lines), delimiter=separator)
    header = _header(_next(reader, lines))
    while True:
        begins, lines.size = lines.number + 1, 0
        cells = _next(reader, lines)
        if cells is None:
            return
        size = sum(map(len, cells))
        text = separator.join(cells)
        if not text.strip(separator + " "):
            yield Row(begins)
        elif any("\udc80" <= character <= "\udcff" for character in text):
            reason = _("It is not valid UTF-8; save the file in UTF-8.")
            yield Row(begins, reason=reason, text=text.encode(errors="surrogateescape").decode(errors="replace"))
        elif len(cells) > len(header) and any(cells[len(header) :]):
            reason = _("It has {cells} cells, and the header names {header}; is a quotation mark missing?").format(
                cells=len(cells), header=len(header)
            )
            yield Row(begins, reason=reason, text=text, size=size)
        else:
            # A row may end early.
            value = {name: _cell(name, cell) for name, cell in zip_longest(header, cells[: len(header)], fillvalue="")}
            yield Row(begins, value, size=size)


def _after(first: str, lines: _Lines) -> Iterator[str]:
    yield first
    yield from lines


def _next(reader: Any, lines: _Lines) -> list[str] | None:
    try:
        return next(reader, None)
    except csv.Error as error:
        raise Unreadable(_("Line {number} cannot be read as CSV: {error}."), number=lines.number, error=error) from None


def _header(cells: list[str] | None) -> list[str]:
    """Return the names of the columns; one without a name, as pandas writes for its index, gets its number."""
    if not cells:
        raise Unreadable(_("The file has no header; its first line must name the columns."))
    if any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
        raise Unreadable(_("The header is not valid UTF-8; save the file in UTF-8."))
    names = [cell.strip() or f"column {place}" for place, cell in enumerate(cells, start=1)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise Unreadable(_("Two columns are called “{twice}”; rename one of them."), twice=twice[:60])
    return names


def _cell(name: str, text: str) -> Any:
    if not text:
        return None
    if name in ("wanted", "priority") and text.strip().lstrip("-").isdecimal() and len(text) < 20:
        return int(text)
    if text[0] not in "[{":
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    is_meant = (
        name == "meta" if isinstance(value, dict) else name == "completions" or all(isinstance(v, dict) for v in value)
    )
    return value if value and is_meant else text
