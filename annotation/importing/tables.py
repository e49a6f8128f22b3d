"""Rows out of Parquet and Arrow. Load this module late: pyarrow takes time and memory."""

from __future__ import annotations

import datetime
import math
import os
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, BinaryIO

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotation.importing import pictures
from annotation.importing.rows import MAX_LINE_BYTES, Row, Unreadable

BATCH_ROWS = 64
BUFFER_BYTES = 1024 * 1024
_ABSENT = gettext_lazy(
    "Parquet and Arrow files need the package pyarrow, which is not installed here; send JSON Lines or CSV."
)


def parquet_rows(file: BinaryIO) -> Iterator[Row]:
    """Return the rows of a Parquet file that can seek; raises `Unreadable` at once when it is none."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise Unreadable(str(_ABSENT)) from None
    try:
        # Read page by page: by default whole row groups are fetched ahead, and one may be the whole file.
        whole = parquet.ParquetFile(_Within(file), buffer_size=BUFFER_BYTES, pre_buffer=False)
        _check_names(whole.schema_arrow.names)
        batches = whole.iter_batches(batch_size=BATCH_ROWS, use_threads=False)
    except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as error:
        raise _damaged("Parquet", error) from None
    return _rows(batches, "Parquet")


def arrow_rows(file: BinaryIO, is_stream: bool) -> Iterator[Row]:
    """Return the rows of an Arrow file, or of an Arrow stream as `datasets` writes it."""
    try:
        import pyarrow
        from pyarrow import ipc
    except ImportError:
        raise Unreadable(str(_ABSENT)) from None
    try:
        reader = ipc.open_stream(_Within(file)) if is_stream else ipc.open_file(_Within(file))
        _check_names(reader.schema.names)
    except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as error:
        raise _damaged("Arrow", error) from None
    batches = reader if is_stream else (reader.get_batch(number) for number in range(reader.num_record_batches))
    return _rows(batches, "Arrow")


class _Within:
    """A file of which no more is asked than it has, whatever the lengths inside it say."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, os.SEEK_END) or file.tell()
        file.seek(0)
        self.mode = "rb"

    @property
    def closed(self) -> bool:
        return self._file.closed

    def close(self) -> None:
        """Leave the file open: whoever opened it closes it."""

    def read(self, size: int | None = None) -> bytes:
        left = max(self._size - self._file.tell(), 0)
        return self._file.read(left if size is None or size < 0 else min(size, left))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


def _rows(batches: Iterable[Any], what: str) -> Iterator[Row]:
    import pyarrow

    number = 0
    try:
        for batch in batches:
            # Arrow trusts its files: an offset that points elsewhere would end the process.
            batch.validate(full=True)
            # A batch of an Arrow file may be the whole of it, and its Python objects would take several times that.
            for start in range(0, batch.num_rows, BATCH_ROWS):
                for place in range(start, min(start + BATCH_ROWS, batch.num_rows)):
                    number += 1
                    yield _row(number, batch.slice(place, 1))
    except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as error:
        yield Row(number + 1, reason=_("{error} Nothing from here on was read.").format(error=_damaged(what, error)))


def _row(number: int, one: Any) -> Row:
    try:
        (value,) = one.to_pylist()
    except (ValueError, OverflowError) as error:  # text that is no UTF-8, a date beyond the calendar
        return Row(number, reason=_("It holds a value that cannot be read: {error}.").format(error=str(error)[:100]))
    plain = {name: _plain(part) for name, part in value.items()}
    size = _size(plain)
    if size > MAX_LINE_BYTES:
        return Row(
            number,
            reason=_("The row has more than {most:,} characters.").format(most=MAX_LINE_BYTES),
            size=size,
        )
    return Row(number, plain, size=size)


def _plain(value: Any) -> Any:
    """Return the value as JSON has it; NaN in a column of numbers is how pandas writes that there is none.

    Bytes are left out unless they begin as an image does: no layout has text in them.
    """
    if isinstance(value, bytes):
        return value if pictures.looks_like_one(value) else None
    if isinstance(value, dict) and isinstance(value.get("bytes"), bytes):
        # How `datasets` writes an image; what is wrong with it is told when it is read.
        return {str(name): part if name == "bytes" else _plain(part) for name, part in value.items()}
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, bytes):
        return 0  # images have a bound of their own
    if isinstance(value, dict):
        return sum(len(name) + _size(part) for name, part in value.items())
    return sum(map(_size, value)) if isinstance(value, list) else 8


def _check_names(names: list[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise Unreadable(_("Two columns are called “{twice}”; rename one of them."), twice=twice[:60])


def _damaged(what: str, error: Exception) -> Unreadable:
    # A length that was damaged may ask for more memory than there is, which has no words.
    reason = next(iter(str(error).splitlines()), _("it asks for too much memory"))
    return Unreadable(_("The {what} file is damaged or was cut off ({reason})."), what=what, reason=reason[:120])
