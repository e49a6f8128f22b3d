"""Rows out of JSON: one object a line, or one array of objects."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from annotation.importing.items import Refused
from annotation.importing.rows import MAX_DEPTH, MAX_LINE_BYTES, Row, Unreadable
from annotation.storable import depth

PIECE_BYTES = 256 * 1024


def read_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a binary file; of an over-long line only enough to be refused, so that memory stays small."""
    while line := file.readline(MAX_LINE_BYTES + 3):
        yield line
        while line and not line.endswith(b"\n"):
            line = file.readline(MAX_LINE_BYTES)


def line_rows(lines: Iterable[str | bytes]) -> Iterator[Row]:
    """Yield the rows of JSON Lines."""
    for number, line in enumerate(lines, start=1):
        try:
            yield Row(number, read_object(line, first=number == 1), size=len(line))
        except Refused as refused:
            text = line if isinstance(line, str) else line.decode(errors="replace")
            yield Row(number, reason=str(refused), text=text.strip("\r\n"), size=len(line))


def read_object(line: str | bytes, *, first: bool = False) -> dict[str, Any] | None:
    """Return the JSON object on a line, or None when it is blank; raises `Refused`. `first` may carry a BOM."""
    if isinstance(line, bytes):
        if first and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise Refused("The file is in UTF-16; save it in UTF-8.")
        if len(line.rstrip(b"\r\n")) > MAX_LINE_BYTES:
            raise Refused(_too_long())
        try:
            line = line.decode()
        except UnicodeDecodeError as error:
            raise Refused(f"Byte {error.start + 1} of the line is not valid UTF-8.") from None
    elif len(line) > MAX_LINE_BYTES:
        raise Refused(_too_long())
    if first:
        line = line.removeprefix("\ufeff")
    elif line.startswith("\ufeff"):
        raise Refused("It starts with a byte order mark, as if another file began here; remove the mark.")
    if not line.strip():
        return None
    try:
        row = json.loads(line, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise Refused(f"It is not valid JSON: {error.msg} at character {error.colno}.") from None
    except RecursionError:
        raise Refused("It is nested too deeply.") from None
    except ValueError:
        raise Refused("It holds a number that is too long.") from None
    if not isinstance(row, dict):
        raise Refused("It is no JSON object; each line must be one object in braces.")
    if _is_deep(line, row):
        raise Refused("It is nested too deeply.")
    return row


def array_rows(file: BinaryIO) -> Iterator[Row]:
    """Yield the rows of one JSON array of objects; what comes after an error cannot be found again."""
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    text = codecs.getincrementaldecoder("utf-8")()
    buffer, ended, number, wanted = "", False, 0, PIECE_BYTES
    between = "["  # what must stand before the next row
    while True:
        while not ended and len(buffer) < wanted:
            piece = file.read(PIECE_BYTES)
            ended = not piece
            try:
                buffer += text.decode(piece, ended)
            except UnicodeDecodeError:
                raise Unreadable(f"What follows row {number} is not valid UTF-8.") from None
        if number == 0 and between == "[":
            buffer = buffer.removeprefix("\ufeff")
        rest = buffer.lstrip()
        if rest.startswith("]") and between != "[":
            if rest[1:].strip():
                raise Unreadable("Something follows the end of the array.")
            return
        if not rest.startswith(between) and (rest or ended):
            raise Unreadable(f"There should be “{between}” after row {number}, as between the rows of a JSON array.")
        inner = rest.removeprefix(between).lstrip()
        if number == 0 and inner.startswith("]"):
            buffer, between = inner, ","
            continue
        try:
            value, end = decoder.raw_decode(inner)
            complete = end < len(inner) or ended
        except json.JSONDecodeError as error:
            complete = False
            if ended:
                raise Unreadable(f"Row {number + 1} is not valid JSON: {error.msg}.") from None
        except RecursionError:
            raise Unreadable(f"Row {number + 1} is nested too deeply.") from None
        except Refused as refused:
            raise Unreadable(f"Row {number + 1} cannot be read. {refused}") from None
        except ValueError:
            raise Unreadable(f"Row {number + 1} holds a number that is too long.") from None
        if not complete:
            if len(inner) > MAX_LINE_BYTES:
                raise Unreadable(f"Row {number + 1} is not valid JSON, or has more than {MAX_LINE_BYTES:,} characters.")
            # Twice as much each time, so that a long row is not parsed anew for every piece of it.
            wanted = 2 * len(buffer) + PIECE_BYTES
            continue
        number += 1
        if _is_deep(inner[:end], value):
            yield Row(number, reason="It is nested too deeply.", text=inner[:end], size=end)
        elif isinstance(value, dict):
            yield Row(number, value, size=end)
        else:
            reason = "It is no JSON object; each row of the array must be one object in braces."
            yield Row(number, reason=reason, text=inner[: min(end, MAX_LINE_BYTES)], size=end)
        buffer, between, wanted = inner[end:], ",", PIECE_BYTES


def _is_deep(text: str, value: Any) -> bool:
    # Counting brackets is quick, and few rows have so many.
    return text.count("{") + text.count("[") > MAX_DEPTH and depth(value) > MAX_DEPTH


def _no_constant(name: str) -> None:
    raise Refused(f"It holds {name}, which is not valid JSON.")


def _too_long() -> str:
    return f"The line has more than {MAX_LINE_BYTES:,} bytes."
