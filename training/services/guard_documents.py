"""The documents that a guard's safe answers quote, as people change them. Each version has its own, with their hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from annotation.storable import unstorable
from training.errors import Invalid
from training.recipes import citations

FILE = "knowledge.jsonl"
MOST = 500  # documents of a guard
LONGEST = 100_000  # characters of one


def read(path: Path) -> list[dict[str, str]]:
    """Return the documents of a guard's file, ``{"id", "text", "version"}`` each, in its order."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    return [{"id": str(row["id"]), "text": str(row["text"]), "version": str(row.get("version", ""))} for row in rows]


def checked(documents: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return documents that a guard can cite; Invalid says what is wrong with the first that it cannot."""
    found: dict[str, dict[str, str]] = {}
    cited: set[str] = set()
    for one in documents:
        row = {name: str(one.get(name, "")).replace("\r\n", "\n").strip() for name in ("id", "text", "version")}
        name, message = row["id"], ""
        if not name or len(name) > 120 or any(mark in name for mark in "[]:\n") or unstorable(name):
            message = _("A document needs a name of up to 120 characters, without colons and brackets: {name}.")
        elif not row["text"] or len(row["text"]) > LONGEST or unstorable(row["text"]) or _misfit(row["version"]):
            message = _("The document {name} needs a text of up to 100,000 characters.")
        elif name in found or citations.cited(name, row["version"]) in cited:  # “a v2” may be version 2 of “a”
            message = _("Two documents are called {name}. Give each its own name.")
        elif len(found) == MOST:
            message = _("A guard has up to 500 documents; {name} is one too many.")
        if message:
            message = message.format(name=name or "–")
            raise Invalid(message, {"documents": [message]})
        found[name] = row
        cited.add(citations.cited(name, row["version"]))
    return list(found.values())


def _misfit(version: str) -> bool:
    return len(version) > 120 or bool(unstorable(version))


def written(documents: Iterable[Mapping[str, str]]) -> str:
    """Return the file that a guard reads."""
    return "".join(json.dumps(dict(one), ensure_ascii=False) + "\n" for one in documents)


def digest(documents: list[dict[str, str]]) -> str:
    """Return the hash of what stands in the documents, whatever their order; empty where there are none."""
    if not documents:
        return ""
    return hashlib.sha256(written(sorted(documents, key=lambda one: one["id"])).encode()).hexdigest()


def differences(before: list[dict[str, str]], after: list[dict[str, str]]) -> dict[str, tuple[str | None, str | None]]:
    """Return for an event which documents were added, changed and removed, by the hash of each."""
    old, new = ({one["id"]: digest([one])[:12] for one in rows} for rows in (before, after))
    return {
        f"document {name}": (old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    }
