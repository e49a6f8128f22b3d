"""Rows out of JSON: one object a line, or one array of objects."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from django.utils.translation import gettext as _

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
            raise Refused(_("The file is in UTF-16; save it in UTF-8."))
        if len(line.rstrip(b"\r\n")) > MAX_LINE_BYTES:
            raise Refused(_too_long())
        try:
            line = line.decode()
        except UnicodeDecodeError as error:
            raise Refused(_("Byte {start} of the line is not valid UTF-8."), start=error.start + 1) from None
    elif len(line) > MAX_LINE_BYTES:
        raise Refused(_too_long())
    if first:
        line = line.removeprefix("\ufeff")
    elif line.startswith("\ufeff"):
        raise Refused(_("It starts with a byte order mark, as if another file began here; remove the mark."))
    if not line.strip():
        return None
    try:
        row = json.loads(line, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise Refused(
            _("It is not valid JSON: {msg} at character {colno}."), msg=error.msg, colno=error.colno
        ) from None
    except RecursionError:
        raise Refused(_("It is nested too deeply.")) from None
    except ValueError:
        raise Refused(_("It holds a number that is too long.")) from None
    if not isinstance(row, dict):
        raise Refused(_("It is no JSON object; each line must be one object in braces."))
    if _is_deep(line, row):
        raise Refused(_("It is nested too deeply."))
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
                raise Unreadable(_("What follows row {number} is not valid UTF-8."), number=number) from None
        if number == 0 and between == "[":
            buffer = buffer.removeprefix("\ufeff")
        rest = buffer.lstrip()
        if rest.startswith("]") and between != "[":
            if rest[1:].strip():
                raise Unreadable(_("Something follows the end of the array."))
            return
        if not rest.startswith(between) and (rest or ended):
            raise Unreadable(
                _("There should be “{between}” after row {number}, as between the rows of a JSON array."),
                between=between,
                number=number,
            )
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
                raise Unreadable(
                    _("Row {number} is not valid JSON: {msg}."), number=number + 1, msg=error.msg
                ) from None
        except RecursionError:
            raise Unreadable(_("Row {number} is nested too deeply."), number=number + 1) from None
        except Refused as refused:
            raise Unreadable(_("Row {number} cannot be read. {refused}"), number=number + 1, refused=refused) from None
        except ValueError:
            raise Unreadable(_("Row {number} holds a number that is too long."), number=number + 1) from None
        if not complete:
            if len(inner) > MAX_LINE_BYTES:
                raise Unreadable(
                    _("Row {number} is not valid JSON, or has more than {most:,} characters."),
                    number=number + 1,
                    most=MAX_LINE_BYTES,
                )
            # Twice as much each time, so that a long row is not parsed anew for every piece of it.
            wanted = 2 * len(buffer) + PIECE_BYTES
            continue
        number += 1
        if _is_deep(inner[:end], value):
            yield Row(number, reason=_("It is nested too deeply."), text=inner[:end], size=end)
        elif isinstance(value, dict):
            yield Row(number, value, size=end)
        else:
            reason = _("It is no JSON object; each row of the array must be one object in braces.")
            yield Row(number, reason=reason, text=inner[: min(end, MAX_LINE_BYTES)], size=end)
        buffer, between, wanted = inner[end:], ",", PIECE_BYTES


def _is_deep(text: str, value: Any) -> bool:
    # Counting brackets is quick, and few rows have so many.
    return text.count("{") + text.count("[") > MAX_DEPTH and depth(value) > MAX_DEPTH


def _no_constant(name: str) -> None:
    raise Refused(_("It holds {name}, which is not valid JSON."), name=name)


def _too_long() -> str:
    return _("The line has more than {most:,} bytes.").format(most=MAX_LINE_BYTES)
