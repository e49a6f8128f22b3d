"""Rows out of Parquet and Arrow. Load this module late: pyarrow takes time and memory."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, BinaryIO

from annotation.services.rows import MAX_LINE_BYTES, Row, Unreadable

BATCH_ROWS = 64
BUFFER_BYTES = 1024 * 1024
_ABSENT = "Parquet and Arrow files need the package pyarrow, which is not installed here; send JSON Lines or CSV."


def parquet_rows(file: BinaryIO) -> Iterator[Row]:
    """Return the rows of a Parquet file that can seek; raises `Unreadable` at once when it is none."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise Unreadable(_ABSENT) from None
    try:
        # Read page by page: by default whole row groups are fetched ahead, and one may be the whole file.
        whole = parquet.ParquetFile(file, buffer_size=BUFFER_BYTES, pre_buffer=False)
        _check_names(whole.schema_arrow.names)
        batches = whole.iter_batches(batch_size=BATCH_ROWS, use_threads=False)
    except (pyarrow.ArrowException, OSError) as error:
        raise _damaged("Parquet", error) from None
    return _rows(batches, "Parquet")


def arrow_rows(file: BinaryIO, is_stream: bool) -> Iterator[Row]:
    """Return the rows of an Arrow file, or of an Arrow stream as `datasets` writes it."""
    try:
        import pyarrow
        from pyarrow import ipc
    except ImportError:
        raise Unreadable(_ABSENT) from None
    try:
        reader = ipc.open_stream(file) if is_stream else ipc.open_file(file)
        _check_names(reader.schema.names)
    except (pyarrow.ArrowException, OSError) as error:
        raise _damaged("Arrow", error) from None
    batches = reader if is_stream else (reader.get_batch(number) for number in range(reader.num_record_batches))
    return _rows(batches, "Arrow")


def _rows(batches: Iterable[Any], what: str) -> Iterator[Row]:
    import pyarrow

    number = 0
    try:
        for batch in batches:
            # A batch of an Arrow file may be the whole of it, and its Python objects would take several times that.
            for start in range(0, batch.num_rows, BATCH_ROWS):
                for place in range(start, min(start + BATCH_ROWS, batch.num_rows)):
                    number += 1
                    yield _row(number, batch.slice(place, 1))
    except (pyarrow.ArrowException, OSError) as error:
        yield Row(number + 1, reason=f"{_damaged(what, error)} Nothing from here on was read.")


def _row(number: int, one: Any) -> Row:
    try:
        (value,) = one.to_pylist()
    except (ValueError, OverflowError) as error:  # text that is no UTF-8, a date beyond the calendar
        return Row(number, reason=f"It holds a value that cannot be read: {str(error)[:100]}.")
    plain = {name: _plain(part) for name, part in value.items()}
    size = _size(plain)
    if size > MAX_LINE_BYTES:
        return Row(number, reason=f"The row has more than {MAX_LINE_BYTES:,} characters.", size=size)
    return Row(number, plain, size=size)


def _plain(value: Any) -> Any:
    """Return the value as JSON has it; NaN in a column of numbers is how pandas writes that there is none.

    Bytes are left out: no layout has text in them, and pictures have no place in the labels of an item.
    """
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, bytes) or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(name) + _size(part) for name, part in value.items())
    return sum(map(_size, value)) if isinstance(value, list) else 8


def _check_names(names: list[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise Unreadable(f"Two columns are called “{twice[:60]}”; rename one of them.")


def _damaged(what: str, error: Exception) -> Unreadable:
    return Unreadable(f"The {what} file is damaged or was cut off ({str(error).splitlines()[0][:120]}).")
