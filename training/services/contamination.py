"""Rows that share words with evaluation suites, which nobody may train on who reports figures on these.

An overlap is a run of 13 words (T. Brown et al., arXiv:2005.14165, appendix C) or 8 (the GPT-2 and PaLM reports), in
lower case without punctuation. Of a suite's text that is shorter, the whole text must stand in the row.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from annotation.importing.tables import parquet_rows
from training import paths, store
from training.errors import Invalid
from training.models import Snapshot

RUNS = (8, 13)
# A text of fewer words stands in half of all texts.
LEAST = 5
LARGEST_FILE = 512 * 1024 * 1024
SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".txt", ".csv", ".parquet")
# Columns whose words are not what is trained on or asked.
_NO_TEXT = {
    *("annotator", "campaign", "task", "chosen_origin", "rejected_origin", "completion_origin", "policy", "role"),
    *("url", "sha256", "id", "subset", "domain", "type", "source", "model", "origin"),
}
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Overlap:
    """One row that shares words with a suite."""

    line: int  # from 1
    feedback: int | None
    task: str
    suite: str
    words: str


class Suites:
    """The words of evaluation suites, by runs of `n`."""

    def __init__(self, names: Iterable[str], *, n: int) -> None:
        if n not in RUNS:
            message = _("Give a run of 8 or 13 words.")
            raise Invalid(message, {"n": [message]})
        self.n = n
        self._runs: dict[int, str] = {}
        self._short: dict[int, dict[int, str]] = {}  # length → hash of a whole short text → suite
        for name in names:
            for text in texts_of_suite(name):
                self._learn(_WORD.findall(text.lower()), name)

    def _learn(self, words: list[str], suite: str) -> None:
        if len(words) < LEAST:
            return
        if len(words) < self.n:
            self._short.setdefault(len(words), {}).setdefault(hash(tuple(words)), suite)
        for start in range(len(words) - self.n + 1):
            self._runs.setdefault(hash(tuple(words[start : start + self.n])), suite)

    def overlap(self, row: dict[str, Any]) -> tuple[str, str] | None:
        """Return the suite and the words that a row shares with it; None when it shares none."""
        for text in _texts(row):
            words = _WORD.findall(text.lower())
            for length, known in [(self.n, self._runs), *self._short.items()]:
                for start in range(len(words) - length + 1):
                    run = tuple(words[start : start + length])
                    suite = known.get(hash(run))
                    if suite is not None:
                        return suite, " ".join(run)
        return None


def overlaps(rows: Iterable[dict[str, Any]], suites: Suites) -> Iterator[Overlap]:
    """Yield the rows that share words with one of the suites."""
    for line, row in enumerate(rows, start=1):
        if (found := suites.overlap(row)) is not None:
            yield Overlap(line, row.get("feedback"), str(row.get("task", "")), *found)


def texts_of_suite(name: str) -> Iterator[str]:
    """Yield the texts of a suite: a frozen data set as "snapshot:12", or a file or folder that may be named.

    Raises `Invalid` with what to do.
    """
    if name.startswith("snapshot:"):
        number = name.removeprefix("snapshot:")
        found = Snapshot.objects.filter(pk=int(number)).first() if number.isdecimal() and len(number) < 19 else None
        if found is None:
            raise _unknown(_("There is no frozen data set {name}.").format(name=repr(name)))
        for row in _read(Path(store.fetch(found.path))):
            yield from _texts(row)
        return
    if "\x00" in name or (objection := paths.objection(name, "evaluation suites")):
        raise _unknown(_("There is no such file.") if "\x00" in name else objection)
    where = Path(store.fetch(name))
    if not where.exists():
        raise _unknown(_("There is no file or folder {name} on the server.").format(name=repr(name)))
    files = sorted(where.rglob("*")) if where.is_dir() else [where]
    read = [file for file in files if file.is_file() and file.name.endswith(SUFFIXES)]
    if not read:
        raise _unknown(
            _("{name} holds no file that can be read; there can be: {suffixes}.").format(
                name=repr(name), suffixes=", ".join(SUFFIXES)
            )
        )
    for file in read:
        if file.stat().st_size > LARGEST_FILE:
            raise _unknown(_("{name} has more than {most} MiB.").format(name=file.name, most=LARGEST_FILE // 1024**2))
        for value in _read(file):
            yield from _texts(value)


def _unknown(message: str) -> Invalid:
    return Invalid(message, {"suites": [message]})


def _read(file: Path) -> Iterator[Any]:
    try:
        if file.suffix == ".parquet":
            with file.open("rb") as stream:
                yield from (row.value for row in parquet_rows(stream) if row.value)
            return
        with gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8") as text:
            if ".jsonl" in file.name:
                yield from (json.loads(line) for line in text if line.strip())
            elif ".json" in file.name:
                yield json.load(text)
            else:
                yield from text
    except (OSError, ValueError) as error:
        raise _unknown(_("{name} cannot be read: {reason}.").format(name=file.name, reason=error)) from None


def _texts(value: Any, name: str = "") -> Iterator[str]:
    """Yield every text in a value of JSON, but names and addresses."""
    if isinstance(value, str):
        if name not in _NO_TEXT:
            yield value
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one, name)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _texts(one, str(key))
