"""Rows as a Parquet file, in constant memory.

A column of Parquet has one type, and what type a row's columns have is known only when all rows have been seen: one
that is null a thousand times may hold a number after that. So the rows are first written to a temporary file by the
line while the types are collected, and then packed group by group. A column whose values fit no one type is packed as
JSON.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

from annotation import datasets

if TYPE_CHECKING:
    import pyarrow

GROUP = 5000  # rows held at once; a row of a preference has about two kilobytes


def packed(rows: Iterable[dict[str, Any]], *, like: dict[str, Any]) -> Iterator[bytes]:
    """Yield the bytes of a Parquet file of `rows`, a group at a time; of no rows, one with the columns of `like`.

    `like` is a row with something of the right type in each column: nobody can read a file without columns.
    """
    # Loaded when the first file is asked for: it is thirty megabytes that a web process can do without.
    import pyarrow as pa
    import pyarrow.parquet as parquet

    with tempfile.TemporaryFile("w+", encoding="utf-8") as spool:
        types = _Types()
        coming = iter(rows)
        while group := list(islice(coming, GROUP)):
            types.learn(group)
            spool.writelines(datasets.lines(group))
        if types.is_empty:
            types.learn([like])
        spool.seek(0)
        schema = types.schema()
        out = _Sink()
        with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
            for group in _groups(spool):
                writer.write_table(pa.Table.from_pylist([types.fitted(row) for row in group], schema=schema))
                yield out.taken()
        yield out.taken()


def _groups(spool: IO[str]) -> Iterator[list[dict[str, Any]]]:
    while lines := list(islice(spool, GROUP)):
        yield [json.loads(line) for line in lines]


class _Sink(io.RawIOBase):
    """A file that hands on what was written and remembers only how much: where a group is, stands at the file's end."""

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._written.append(piece)
        self._position += len(piece)
        return len(piece)

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        written, self._written = b"".join(self._written), []
        return written


class _Types:
    """The type of each column as far as it has been seen; the order is that of the first rows."""

    def __init__(self) -> None:
        self._fields: dict[str, pyarrow.DataType] = {}
        self._as_json: set[str] = set()

    @property
    def is_empty(self) -> bool:
        return not self._fields

    def learn(self, group: list[dict[str, Any]]) -> None:
        import pyarrow as pa

        names = dict.fromkeys(name for row in group for name in row)
        for name in names:
            if name in self._as_json:
                continue
            try:
                found = _writable(pa.array([row.get(name) for row in group]).type)
                known = self._fields.get(name, pa.null())
                both = [pa.schema([(name, known)]), pa.schema([(name, found)])]
                self._fields[name] = pa.unify_schemas(both, promote_options="permissive").field(name).type
            except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
                self._as_json.add(name)
                self._fields[name] = pa.string()

    def schema(self) -> pyarrow.Schema:
        import pyarrow as pa

        return pa.schema(list(self._fields.items()))

    def fitted(self, row: dict[str, Any]) -> dict[str, Any]:
        as_json = {name: json.dumps(row[name], ensure_ascii=False) for name in self._as_json if name in row}
        return {**row, **as_json}


def _writable(found: pyarrow.DataType) -> pyarrow.DataType:
    """Return the type with a field in each structure: Parquet knows none without, and {} is one."""
    import pyarrow as pa

    if pa.types.is_struct(found):
        fields = [(found.field(place).name, _writable(found.field(place).type)) for place in range(found.num_fields)]
        return pa.struct(fields or [("none", pa.null())])
    if pa.types.is_list(found):
        return pa.list_(_writable(found.value_type))
    return found
