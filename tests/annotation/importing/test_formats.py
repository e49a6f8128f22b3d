"""File formats: told apart by name, content type or first bytes, read row by row, and each damage gets its sentence."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from pathlib import Path

import datasets
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from annotation.importing import formats
from annotation.importing.folders import files_of, rows_of_files
from annotation.importing.rows import MAX_LINE_BYTES, Row, Unreadable

ROWS = [
    {"id": "1", "prompt": "Why, oh why?", "chosen": 'It\nhas "two" lines', "rejected": "no"},
    {"id": "2", "prompt": "Größe?", "chosen": "größer", "rejected": "kleiner 🙂"},
]


def separated(separator: str = ",") -> bytes:
    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    lines = [separator.join(ROWS[0]), *(separator.join(map(cell, row.values())) for row in ROWS)]
    return "\r\n".join(lines).encode() + b"\r\n"


def parquet_bytes(rows=None) -> bytes:
    out = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(ROWS if rows is None else rows), out)
    return out.getvalue()


def arrow_bytes(*, stream: bool) -> bytes:
    table = pyarrow.Table.from_pylist(ROWS)
    out = io.BytesIO()
    make = pyarrow.ipc.new_stream if stream else pyarrow.ipc.new_file
    with make(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


LINES = "\n".join(json.dumps(row) for row in ROWS).encode()
FORMATS = {
    "JSON Lines": (LINES, "a.jsonl", "application/x-ndjson"),
    "JSON": (json.dumps(ROWS, indent=2).encode(), "a.json", "application/json"),
    "JSON with a mark": (b"\xef\xbb\xbf" + json.dumps(ROWS).encode(), "a.json", "application/json"),
    "JSON that is lines": (LINES, "a.json", "application/json"),
    "CSV": (separated(), "a.csv", "text/csv; charset=utf-8"),
    "CSV with a mark": (b"\xef\xbb\xbf" + separated(), "A.CSV", "text/csv"),
    "CSV with semicolons": (separated(";"), "a.csv", "text/csv"),
    "TSV": (separated("\t"), "a.tsv", "text/tab-separated-values"),
    "Parquet": (parquet_bytes(), "a.parquet", "application/vnd.apache.parquet"),
    "Arrow": (arrow_bytes(stream=False), "a.arrow", "application/vnd.apache.arrow.file"),
    "Arrow stream": (arrow_bytes(stream=True), "a.arrow", "application/vnd.apache.arrow.stream"),
}


class Unseekable(io.RawIOBase):
    """What a request's body is: it can be read once, in pieces of any size."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        assert size >= 0
        return self._data.read(min(size, 1000))

    def readline(self, size: int | None = -1) -> bytes:
        raise AssertionError("a line may be a gigabyte")


def values(data: bytes, **told: str) -> list:
    rows = list(formats.rows_of(Unseekable(data), **told))
    assert [row.reason for row in rows] == [""] * len(rows)
    return [row.value for row in rows]


def refusals(data: bytes, **told: str) -> list[str]:
    return [row.reason for row in formats.rows_of(io.BytesIO(data), **told) if row.reason]


@pytest.mark.parametrize(("data", "name", "content_type"), FORMATS.values(), ids=FORMATS)
def test_every_format_gives_the_same_rows_however_it_is_told(data: bytes, name: str, content_type: str) -> None:
    assert values(data, name=name) == ROWS
    assert values(data, content_type=content_type) == ROWS
    assert values(data, name="upload.bin", content_type="application/octet-stream") == ROWS
    assert values(gzip.compress(data), name=f"{name}.gz", content_type="application/gzip") == ROWS
    assert values(gzip.compress(data)) == ROWS
    assert [row.value for row in formats.rows_of(io.BytesIO(data), name=name)] == ROWS


def test_a_row_knows_the_line_on_which_it_begins() -> None:
    assert [row.line for row in formats.rows_of(io.BytesIO(separated()), name="a.csv")] == [2, 4]
    assert [row.line for row in formats.rows_of(io.BytesIO(parquet_bytes()))] == [1, 2]


def test_cells_of_a_csv_file() -> None:
    data = (
        b'prompt,completions,meta,priority,note\n[1],"[""x"", ""y""]","{""a"": 1}",-3,\n\n,,,,\n'
        b'"[{""role"": ""user"", ""content"": ""Why?""}]",[not json,,,{}\nshort\n'
    )
    rows = list(formats.rows_of(io.BytesIO(data), name="a.csv"))
    assert [row.line for row in rows] == [2, 3, 4, 5, 6]
    assert rows[0].value == {"prompt": "[1]", "completions": ["x", "y"], "meta": {"a": 1}, "priority": -3, "note": None}
    assert rows[1] == Row(3) and rows[2] == Row(4)
    asked = [{"role": "user", "content": "Why?"}]
    assert rows[3].value == {"prompt": asked, "completions": "[not json", "meta": None, "priority": None, "note": "{}"}
    assert rows[4].value == {"prompt": "short", "completions": None, "meta": None, "priority": None, "note": None}


def test_an_index_of_pandas_is_a_column_without_a_name() -> None:
    assert values(b",prompt\n0,Why?\n", name="a.csv") == [{"column 1": "0", "prompt": "Why?"}]


def test_values_of_a_parquet_file_are_as_json_has_them() -> None:
    import datetime
    from decimal import Decimal

    row = {
        "score": float("nan"),
        "day": datetime.date(2026, 1, 2),
        "price": Decimal("1.5"),
        "count": Decimal("3"),
        "picture": b"\xff",
        "messages": [{"role": "user", "content": "a", "score": 1.0}],
        "none": None,
    }
    assert values(parquet_bytes([row])) == [
        {
            "score": None,
            "day": "2026-01-02",
            "price": 1.5,
            "count": 3,
            "picture": None,
            "messages": [{"role": "user", "content": "a", "score": 1.0}],
            "none": None,
        }
    ]


WRONG = {
    "Parquet called CSV": (parquet_bytes(), "a.csv", "ends in .csv, but it begins as Parquet does"),
    "CSV called Parquet": (separated(), "a.parquet", "but it does not begin as Parquet does"),
    "Arrow called JSON": (arrow_bytes(stream=False), "a.jsonl", "but it begins as Arrow does"),
    "zip": (b"PK\x03\x04rest", "a.xlsx", "spreadsheet"),
    "zstd": (b"\x28\xb5\x2f\xfdrest", "a.jsonl.zst", "zstd"),
    "UTF-16": ("id,prompt".encode("utf-16"), "a.csv", "UTF-16"),
    "damaged Parquet": (parquet_bytes()[:-30], "a.parquet", "damaged or was cut off"),
    "only the mark of Parquet": (b"PAR1", "a.parquet", "damaged or was cut off"),
    "only the mark of Arrow": (b"ARROW1\0\0", "a.arrow", "damaged or was cut off"),
    "only the mark of a stream": (b"\xff\xff\xff\xff\x10", "a.arrow", "damaged or was cut off"),
    "a column called by no UTF-8": (
        arrow_bytes(stream=True).replace(b"rejected", b"\x80ejected", 1),
        "a.arrow",
        "damaged or was cut off",
    ),
    "damaged gzip": (gzip.compress(LINES)[:12] + b"\0\0\0", "a.jsonl.gz", "damaged or was cut off"),
}


@pytest.mark.parametrize(("data", "name", "reason"), WRONG.values(), ids=WRONG)
def test_a_file_that_is_something_else_gets_a_sentence(data: bytes, name: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason) as raised:
        list(formats.rows_of(io.BytesIO(data), name=name))
    assert str(raised.value).endswith(".")


# What is found out on the way: the rows before it are kept.
LATE = {
    "no header": (b"", "a.csv", "no header"),
    "two columns of a name": (b"a,b,a\n1,2,3\n", "a.csv", "Two columns are called “a”"),
    "more cells than columns": (b"a,b\n1,2,3\n", "a.csv", "It has 3 cells"),
    "no UTF-8 in the header": (b"a,\xff\n1,2\n", "a.csv", "header is not valid UTF-8"),
    "no UTF-8": (b"a,b\n1,\xff\n3,4\n", "a.csv", "not valid UTF-8"),
    "a quotation mark left open": (b'a,b\n1,"2\n' + b"x\n" * (MAX_LINE_BYTES // 2 + 9), "a.csv", "mark left open"),
    "a cell too large": (b"a,b\n1," + b"x" * (MAX_LINE_BYTES + 9), "a.csv", "too long"),
    "returns alone": (b"a,b\r1,2\r3,4\r", "a.csv", "cannot be read as CSV"),
    "an array cut off": (b'[{"a": 1}, {"a"', "a.json", "Row 2 is not valid JSON"),
    "an array without an end": (b'[{"a": 1}', "a.json", "as between the rows"),
    "an array without a comma": (b'[{"a": 1} {"a": 2}]', "a.json", "as between the rows"),
    "an array with more behind": (b'[{"a": 1}] x', "a.json", "follows the end of the array"),
    "an array with NaN": (b'[{"a": NaN}]', "a.json", "holds NaN"),
    "an array too deep": (b'[{"a": ' + b"[" * 100_000, "a.json", "nested too deeply"),
    "a row too deep": (b'{"a": ' + b"[" * 600 + b"]" * 600 + b"}", "a.jsonl", "nested too deeply"),
    "an array with a row too deep": (b'[{"a": ' + b"[" * 600 + b"]" * 600 + b"}]", "a.json", "nested too deeply"),
    "an array with a number": (b"[1, {}]", "a.json", "no JSON object"),
    "an array of no UTF-8": (b'[{"a": "\xff"}]', "a.json", "not valid UTF-8"),
    "an array with a row too long": (b'[{"a": "' + b"x" * (3 * MAX_LINE_BYTES), "a.json", "more than 4,000,000"),
    # The offsets of the prompts, 0, 12 and 20: the second one made to point far behind the end.
    "Arrow with a wrong offset": (
        arrow_bytes(stream=True).replace(b"\x0c\0\0\0\x14\0\0\0", b"\x0c\0\0\x7f\x14\0\0\0", 1),
        "a.arrow",
        "damaged or was cut off",
    ),
    "gzip cut off": (gzip.compress((LINES + b"\n") * 5000)[:-100], "a.jsonl.gz", "damaged or was cut off"),
}


@pytest.mark.parametrize(("data", "name", "reason"), LATE.values(), ids=LATE)
def test_what_is_wrong_within_a_file_is_a_refused_row(data: bytes, name: str, reason: str) -> None:
    told = refusals(data, name=name)
    assert len(told) == 1, told
    assert reason in told[0] and told[0].endswith((".", "?")) and len(told[0]) < 300


def test_an_empty_array_and_empty_files_have_no_rows() -> None:
    assert values(b" [ ] ", name="a.json") == []
    assert values(b"") == values(b"", name="a.jsonl") == values(gzip.compress(b"")) == []
    assert values(parquet_bytes([])) == []


def test_memory_stays_small(tmp_path: Path) -> None:
    """40 MB in each format take but a few megabytes at a time."""
    row = {"prompt": "p" * 500, "chosen": "c" * 2000, "rejected": "r" * 1500}
    count = 10_000
    (tmp_path / "a.jsonl").write_text((json.dumps(row) + "\n") * count)
    (tmp_path / "a.json").write_text("[" + ",".join([json.dumps(row)] * count) + "]")
    (tmp_path / "a.csv").write_text(",".join(row) + "\n" + (",".join(row.values()) + "\n") * count)
    for path in sorted(tmp_path.iterdir()):
        tracemalloc.start()
        with path.open("rb") as file:
            assert sum(1 for found in formats.rows_of(file, name=path.name) if found.value) == count
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8_000_000, (path.name, peak)


@settings(max_examples=100, deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=300),
        st.text(alphabet='[]{}",:;\t\n\r ab1\\', max_size=80).map(str.encode),
        st.tuples(
            st.sampled_from([data for data, _, _ in FORMATS.values()]), st.integers(0, 400), st.binary(max_size=4)
        ).map(lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + len(parts[2]) :]),
    ),
    name=st.sampled_from(["", "a.jsonl", "a.json", "a.csv", "a.tsv", "a.parquet", "a.arrow", "a.gz"]),
    packed=st.booleans(),
)
def test_whatever_is_sent_is_rows_or_sentences(data: bytes, name: str, packed: bool) -> None:
    try:
        rows = list(formats.rows_of(Unseekable(gzip.compress(data) if packed else data), name=name))
    except Unreadable as error:
        assert str(error).endswith(".")
        return
    for row in rows:
        assert row.value is None or (isinstance(row.value, dict) and not row.reason)
        assert not row.reason or row.reason.endswith((".", "?"))


class TestFolders:
    def test_what_datasets_saves_is_read_in_its_order(self, tmp_path: Path) -> None:
        datasets.Dataset.from_list(ROWS * 3).save_to_disk(tmp_path / "saved", num_shards=3)
        files = files_of(tmp_path / "saved")
        assert [file.suffix for file in files] == [".arrow"] * 3
        assert [row.value for row in rows_of_files([tmp_path / "saved"])] == ROWS * 3
        assert {row.file for row in rows_of_files([tmp_path / "saved"])} == {file.name for file in files}

    def test_one_part_of_several_must_be_named(self, tmp_path: Path) -> None:
        part = datasets.Dataset.from_list(ROWS)
        datasets.DatasetDict({"train": part, "test": part}).save_to_disk(tmp_path / "both")
        with pytest.raises(Unreadable, match=r"several parts \(train, test\); give one: both/train"):
            files_of(tmp_path / "both")
        assert [row.value for row in rows_of_files([tmp_path / "both" / "train"])] == ROWS

    @pytest.mark.parametrize(("suffix", "data"), [(".parquet", parquet_bytes()), (".jsonl.gz", gzip.compress(LINES))])
    def test_files_of_one_format_side_by_side(self, tmp_path: Path, suffix: str, data: bytes) -> None:
        for name in ("b", "a"):
            (tmp_path / f"{name}{suffix}").write_bytes(data)
        (tmp_path / "README.md").write_text("what it is")
        assert [row.file for row in rows_of_files([tmp_path])] == [f"a{suffix}"] * 2 + [f"b{suffix}"] * 2
        assert [row.value for row in rows_of_files([tmp_path])] == ROWS * 2

    def test_what_is_unclear_gets_a_sentence(self, tmp_path: Path) -> None:
        with pytest.raises(Unreadable, match="no file to import"):
            files_of(tmp_path)
        (tmp_path / "a.csv").write_bytes(separated())
        (tmp_path / "a.jsonl").write_bytes(LINES)
        with pytest.raises(Unreadable, match=r"several formats \(.csv, .jsonl\)"):
            files_of(tmp_path)
        (tmp_path / "state.json").write_text('{"_data_files": [{"filename": "../data-0.arrow"}]}')
        with pytest.raises(Unreadable, match=r"should have data-0\.arrow"):
            files_of(tmp_path)
        (tmp_path / "state.json").write_text("{")
        with pytest.raises(Unreadable, match=r"state\.json is not valid JSON"):
            files_of(tmp_path)
