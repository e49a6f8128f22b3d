"""Texts of a domain, which a policy reads before it learns to answer: a file, in place of rows of a campaign.

JSON Lines of objects with ``text`` and, if you like, ``domain``; or plain text, whose documents are parted by blank
lines.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.recipes.note import Note
from training.recipes.scenarios import SUITES

VIEW = "documents"  # what a recipe reads that reads texts
FROM_FILES = (*SUITES, VIEW)  # what comes out of a file that is named


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the documents of a file, packed by gzip or not; ValueError names the first line that is none."""
    name = path.name.removesuffix(".gz")
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        if not name.endswith((".jsonl", ".json")):
            for text in re.split(r"\n[ \t]*\n", file.read()):
                if text.strip():
                    yield {"text": text.strip()}
            return
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                row = None
            if not isinstance(row, dict) or not isinstance(row.get("text"), str):
                raise ValueError(
                    Note('Line {number} of {name} is no object with a "text".', number=number, name=path.name)
                )
            if row["text"].strip():
                yield {"text": row["text"], **({"domain": str(row["domain"])} if row.get("domain") else {})}
