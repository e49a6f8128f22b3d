"""Items that several rows make together: the messages of a thread, or one answer a row to the same prompt.

Their rows wait in a file on disk until all have been read, so that memory stays small.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import chain
from typing import Any

from django.utils.translation import gettext as _

from annotation.importing import oasst
from annotation.importing.items import Item, Refused
from annotation.importing.layouts import items_of
from annotation.importing.lines import read_object
from annotation.importing.mapping import Columns
from annotation.importing.rows import Row
from annotation.messages import text_of

_REFUSED = {"line", "reason", "file", "row", "text"}
_ANY_NUMBER = (1, 10_000)
_TABLE = """
PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;
CREATE TABLE answer (place INTEGER PRIMARY KEY, name TEXT, line INTEGER, file TEXT, data TEXT);
CREATE INDEX of_name ON answer (name, place);
"""


def gathered(rows: Iterable[Row], columns: Columns) -> tuple[Iterator[Row], Columns]:
    """Return the rows with those put together that make one item, and the mapping that is left to be applied."""
    inner = map(unwrapped, rows)
    if columns.together:
        return _together(inner, columns), Columns(per_item=columns.per_item)
    read = []
    for row in inner:
        read.append(row)
        if row.value is not None:
            break
    whole = chain(read, inner)
    if read and read[-1].value is not None and oasst.is_message(read[-1].value):
        return oasst.siblings_of_messages(whole), Columns(per_item=columns.per_item)
    return whole, columns


def unwrapped(row: Row) -> Row:
    """Return the row that stands in a line of a file of refused rows, mended meanwhile; any other row as it is."""
    value = row.value
    if value is None or not {"line", "reason"} <= value.keys() <= _REFUSED:
        return row
    inner = value.get("row")
    if isinstance(inner, dict):
        return replace(row, value=inner)
    if not isinstance(value.get("text"), str):
        return row
    try:
        return replace(row, value=read_object(value["text"]))
    except Refused as refused:
        return Row(row.line, reason=str(refused), text=value["text"], size=row.size, file=row.file)


def _together(rows: Iterator[Row], columns: Columns) -> Iterator[Row]:
    """Yield a row in Attune's own layout for each value of the column `together`, in the order they first come."""
    with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(f"{folder}/answers")) as store:
        store.executescript(_TABLE)
        for row in rows:
            if row.value is None or row.reason:
                yield row
                continue
            try:
                name, (item,) = _name(row.value, columns), _single(row.value, columns)
                data = (name, row.line, row.file, json.dumps(item.as_row()))
                store.execute("INSERT INTO answer (name, line, file, data) VALUES (?, ?, ?, ?)", data)
            except Refused as refused:
                yield replace(row, reason=str(refused))
            except UnicodeEncodeError:
                yield replace(row, reason=_("It contains half of a surrogate pair, which is no character; remove it."))
        names = store.execute("SELECT name, line, file, min(place) FROM answer GROUP BY name ORDER BY 4")
        for name, line, file, _place in names:
            answers = store.execute("SELECT data, file FROM answer WHERE name = ? ORDER BY place LIMIT 100", (name,))
            yield _whole(name, Row(line, file=file), [(json.loads(data), source) for data, source in answers])


def _name(row: dict[str, Any], columns: Columns) -> str:
    value = row.get(columns.together)
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        raise Refused(
            _("Its {together}, which says what belongs together, is neither text nor a number."),
            together=columns.together[:60],
        )
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _single(row: dict[str, Any], columns: Columns) -> list[Item]:
    items = items_of(columns.apply(row), bounds=_ANY_NUMBER)
    if len(items) != 1:
        raise Refused(_("It has several items of its own, so it cannot be put together with other rows."))
    return items


def _whole(name: str, row: Row, parts: list[tuple[dict[str, Any], str]]) -> Row:
    """Return the parts as one row; who wrote an answer is told by its file where its row does not say."""
    first = parts[0][0]
    completions = []
    for part, file in parts:
        for completion in part.get("completions", []):
            completions.append({"text": completion["text"], "origin": completion["origin"] or file[:120]})
    labels = [part.get("meta", {}).get("labels") for part, _ in parts]
    value = {**first, "id": name, "completions": completions}
    value["meta"] = {"labels": {"answers": labels}} if any(labels) else {}
    size = sum(len(text_of(completion["text"])) for completion in completions)
    if any(part.get("prompt") != first.get("prompt") for part, _ in parts):
        return replace(
            row, value=value, reason=_("The rows of {name!r} have different prompts.").format(name=name[:60]), size=size
        )
    return replace(row, value=value, size=size)
