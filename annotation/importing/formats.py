"""Which format an imported file has, and its rows one after the other, in constant memory.

JSON Lines, a JSON array, CSV, TSV, Parquet and Arrow, each as it is or packed with gzip. The format is told by the
file's name, else by the content type, else by how the file begins.
"""

from __future__ import annotations

import codecs
import gzip
import io
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Any, BinaryIO, cast

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotation.importing.lines import array_rows, line_rows, read_lines
from annotation.importing.rows import Row, Unreadable
from annotation.importing.separated import separated_rows

# A packed file of a megabyte may unpack into a gigabyte; at some point that is no data set any more.
MAX_UNPACKED_BYTES = 16 * 1024**3
HEAD_BYTES = 4096
PIECE_BYTES = 256 * 1024

LINES, ARRAY, CSV, TSV, PARQUET, ARROW = "JSON Lines", "JSON", "CSV", "TSV", "Parquet", "Arrow"
JSON = "JSON Lines or JSON"  # which of the two, its first character tells
BY_SUFFIX = {
    ".jsonl": LINES,
    ".ndjson": LINES,
    ".json": JSON,
    ".csv": CSV,
    ".tsv": TSV,
    ".tab": TSV,
    ".parquet": PARQUET,
    ".pq": PARQUET,
    ".arrow": ARROW,
    ".feather": ARROW,
}
BY_CONTENT_TYPE = {
    "application/x-ndjson": LINES,
    "application/jsonl": LINES,
    "application/json": JSON,
    "text/csv": CSV,
    "text/tab-separated-values": TSV,
    "application/vnd.apache.parquet": PARQUET,
    "application/vnd.apache.arrow.stream": ARROW,
    "application/vnd.apache.arrow.file": ARROW,
}
TABLES = (PARQUET, ARROW)
_STREAM = b"\xff\xff\xff\xff"  # how an Arrow stream begins, which is what `datasets` writes
_MAGIC = {
    b"PAR1": PARQUET,
    b"ARROW1": ARROW,
    _STREAM: ARROW,
}
_OTHERS = {
    b"PK\x03\x04": gettext_lazy(
        "a zip archive or a spreadsheet; send the archive as application/zip, or save the sheet as CSV"
    ),
    b"\xd0\xcf\x11\xe0": gettext_lazy("an old spreadsheet; save it as CSV"),
    b"\x28\xb5\x2f\xfd": gettext_lazy("packed with zstd; unpack it, or pack it with gzip"),
    b"BZh": gettext_lazy("packed with bzip2; unpack it, or pack it with gzip"),
    b"\xfd7zXZ": gettext_lazy("packed with xz; unpack it, or pack it with gzip"),
    b"%PDF": gettext_lazy("a PDF"),
}


def rows_of(file: BinaryIO, *, name: str = "", content_type: str = "") -> Iterator[Row]:
    """Return the rows of a binary file; raises `Unreadable` at once when it has no format that is known.

    What goes wrong later is a last row with its reason, since the good rows before it are kept.
    """
    source = _Bytes(file.read)
    head = source.head()
    packed = head.startswith(b"\x1f\x8b")
    if packed:
        unpacked = gzip.GzipFile(fileobj=cast(BinaryIO, io.BufferedReader(source)))
        source = _Bytes(unpacked.read, limit=MAX_UNPACKED_BYTES)
        head = source.head()
    found = _format(head, name=name, content_type=content_type)
    if found in TABLES:
        # Loaded late: pyarrow takes memory that a web process without such files need not have.
        from annotation.importing import tables

        whole = file if not packed and can_seek(file) else _on_disk(source)
        return tables.parquet_rows(whole) if found == PARQUET else tables.arrow_rows(whole, head.startswith(_STREAM))
    reader = io.BufferedReader(source, PIECE_BYTES)
    return _to_the_end(_READERS[found](cast(BinaryIO, reader)))


def suffix_of(name: str) -> str:
    """Return the suffix of a file's name that tells its format, in small letters and without ``.gz``."""
    return PurePath(name.lower().removesuffix(".gz")).suffix


class _Bytes(io.RawIOBase):
    """A stream that is only known to have `read(size)`: an upload, a request's body, or what gzip unpacks."""

    def __init__(self, read: Callable[[int], bytes], *, limit: int | None = None) -> None:
        self._read, self._left, self._head = read, limit, b""

    def head(self) -> bytes:
        """Return how the stream begins; it is read again from there."""
        while len(self._head) < HEAD_BYTES and (piece := self._more(HEAD_BYTES - len(self._head))):
            self._head += piece
        return self._head

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = len(buffer)
        if self._head:
            piece, self._head = self._head[:size], self._head[size:]
        else:
            piece = self._more(size)
        buffer[: len(piece)] = piece
        return len(piece)

    def _more(self, size: int) -> bytes:
        try:
            piece = self._read(size)
        except (gzip.BadGzipFile, EOFError, zlib.error):
            raise Unreadable(_("The packed file is damaged or was cut off; pack it again.")) from None
        if self._left is not None:
            self._left -= len(piece)
            if self._left < 0:
                raise Unreadable(
                    _("The file unpacks into more than {most} GiB; split it."),
                    most=MAX_UNPACKED_BYTES // 1024**3,
                )
        return piece


def _format(head: bytes, *, name: str, content_type: str) -> str:
    """Return the format by name or content type, if the file begins as it should, else by how it begins."""
    for magic, what in _OTHERS.items():
        if head.startswith(magic):
            raise Unreadable(
                _("The file is {what}. JSON Lines, JSON, CSV, TSV, Parquet and Arrow can be read."), what=what
            )
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise Unreadable(_("The file is in UTF-16; save it in UTF-8."))
    suffix = suffix_of(name)
    told = BY_SUFFIX.get(suffix)
    words = _("The file's name ends in {suffix}").format(suffix=suffix)
    if told is None:
        kind = content_type.split(";")[0].strip().lower()
        told, words = BY_CONTENT_TYPE.get(kind), _("The file was sent as {kind}").format(kind=kind)
    found = next((format_ for magic, format_ in _MAGIC.items() if head.startswith(magic)), None)
    if told and head and (found != told if told in TABLES else found is not None):
        begins = (
            _("it begins as {found} does").format(found=found)
            if found
            else _("it does not begin as {told} does").format(told=told)
        )
        raise Unreadable(_("{words}, but {begins}; give the file the name of its format."), words=words, begins=begins)
    if told == JSON:
        return ARRAY if head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[") else LINES
    return told or found or _by_first_characters(head)


def _by_first_characters(head: bytes) -> str:
    """Return the format of text without a name: a bracket is an array, a first line of short words is a header."""
    text = head.removeprefix(codecs.BOM_UTF8).decode(errors="replace").lstrip()
    if text.startswith("["):
        return ARRAY
    header = text.split("\n", 1)[0]
    for separator, format_ in (("\t", TSV), (",", CSV), (";", CSV)):
        names = [name.strip().strip('"') for name in header.split(separator)]
        if len(names) > 1 and not text.startswith("{") and all(0 < len(name) <= 60 for name in names):
            return format_
    return LINES


_READERS: dict[str, Callable[[BinaryIO], Iterator[Row]]] = {
    LINES: lambda file: line_rows(read_lines(file)),
    ARRAY: array_rows,
    CSV: separated_rows,
    TSV: lambda file: separated_rows(file, separator="\t"),
}


def _to_the_end(rows: Iterator[Row]) -> Iterator[Row]:
    """Yield the rows; what makes the rest unreadable is the last of them."""
    line = 0
    try:
        for row in rows:
            line = row.line
            yield row
    except Unreadable as error:
        yield Row(line + 1, reason=_("{error} Nothing from here on was read.").format(error=error))


def can_seek(file: BinaryIO) -> bool:
    """Return whether the file can be read again from its start, where it then stands."""
    try:
        file.seek(0)
    except (AttributeError, OSError, io.UnsupportedOperation):
        return False
    return True


def _on_disk(source: io.RawIOBase) -> BinaryIO:
    """Return a nameless file with all that the stream has: these formats are read from their end."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as its rows are read
    while piece := source.read(PIECE_BYTES):
        file.write(piece)
    file.seek(0)
    return file
