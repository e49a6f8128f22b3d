"""Which columns of a file are the prompt, the answers and the rest, where the layout is none that is known."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from django.utils.translation import gettext as _

from annotation.errors import Invalid
from annotation.importing.items import Refused

MAX_NAME = 200
MAX_COLUMNS = 20
_SEVERAL = ("completions", "labels")


@dataclass(frozen=True)
class Columns:
    """The names of columns. What is left empty is told by the layout, as without any mapping."""

    prompt: str = ""
    completions: tuple[str, ...] = ()
    id: str = ""
    domain: str = ""
    batch: str = ""
    wanted: str = ""
    priority: str = ""
    requires: str = ""  # what people must be able to do
    language: str = ""  # a code such as de: what people must read, besides what `requires` says
    about: str = ""  # what people may decline
    labels: tuple[str, ...] = ()  # kept with the item, never shown to annotators
    together: str = ""  # rows with the same value here are one item
    per_item: int | None = None  # so many answers at a time: 2 makes pairs of four answers

    def apply(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row as a known layout has it; raises `Refused` when a column is missing."""
        kept = {name: column for name in _KEPT if (column := getattr(self, name))}
        named = [self.prompt, *self.completions, self.id, self.together, self.language, *kept.values()]
        missing = next((name for name in named if name and name not in row), None)
        # Cells that are empty have no column; of several answers some may be.
        if missing is not None and not (missing in self.completions and any(name in row for name in self.completions)):
            there = ", ".join(name[:30] for name in list(row)[:8])
            raise Refused(
                _("It has no column {missing!r}; its columns are {there}."), missing=missing[:60], there=there
            )
        mapped = dict(row)
        if self.completions:
            answers = [part for name in self.completions for part in _answers(row.get(name), name, self.completions)]
            asked = row.get(self.prompt or "prompt")
            mapped = {"id": row.get("id"), "prompt": asked, "completions": answers, "meta": {}}
            if "images" in row:
                mapped["images"] = row["images"]  # of the prompt
        elif self.prompt:
            mapped["prompt"] = row[self.prompt]
        if self.id:
            mapped["id"] = _id(row[self.id])
        mapped |= {name: _KEPT[name](row.get(column)) for name, column in kept.items()}
        if code := _word(row.get(self.language)):
            others = mapped.get("requires") or []
            mapped["requires"] = f"{others}, lang:{code}" if isinstance(others, str) else [*others, f"lang:{code}"]
        labels = {name: row[name] for name in self.labels if row.get(name) is not None}
        if labels:
            meta = mapped.get("meta")
            mapped["meta"] = {**(meta if isinstance(meta, dict) else {}), "labels": labels}
        return mapped


def of_object(value: Any) -> Columns:
    """Return the mapping that a JSON object or a form gives; raises `Invalid`, with a sentence for each wrong part."""
    if not isinstance(value, Mapping):
        raise _invalid([_('A mapping is an object, such as {"prompt": "question", "completions": ["a", "b"]}.')])
    known = [field.name for field in fields(Columns)]
    wrong = [
        _("A mapping has no {name!r}; there are: {known}.").format(name=str(name)[:40], known=", ".join(known))
        for name in value
        if name not in known
    ]
    parts: dict[str, Any] = {}
    for name, given in value.items():
        if given is None or given == "" or name not in known:
            continue
        if name == "per_item":
            if isinstance(given, bool) or given not in (1, 2, 3, 4, "1", "2", "3", "4"):
                wrong.append(_("per_item is how many answers an item gets: 1 to 4."))
            else:
                parts[name] = int(given)
            continue
        names = given if name in _SEVERAL and isinstance(given, list | tuple) else [given]
        if not all(isinstance(one, str) and 0 < len(one) <= MAX_NAME for one in names) or len(names) > MAX_COLUMNS:
            told = _("{name} must be the name of a column.")
            if name in _SEVERAL:
                told = _("{name} must be the name of a column, or a list of names.")
            wrong.append(told.format(name=name))
        elif len(set(names)) < len(names):
            wrong.append(_("{name} names a column twice.").format(name=name))
        else:
            parts[name] = tuple(names) if name in _SEVERAL else names[0]
    if wrong:
        raise _invalid(wrong)
    return Columns(**parts)


def of_json(text: str) -> Columns:
    """Return the mapping written in JSON, an empty one for no text; raises `Invalid`."""
    if not text.strip():
        return Columns()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise _invalid([_("The mapping is not valid JSON.")]) from None
    return of_object(value)


def of_words(words: Iterable[str]) -> Columns:
    """Return the mapping of words such as ``completions=a,b``, or of one JSON object; raises `Invalid`."""
    value: dict[str, Any] = {}
    for word in words:
        if word.lstrip().startswith("{"):
            given = _object(word)
            value.update(given)
            continue
        name, equals, column = word.partition("=")
        if not equals:
            raise _invalid([_("{word!r} is no part of a mapping; write it like prompt=question.").format(word=word)])
        names = [part.strip() for part in column.split(",")]
        value[name.strip()] = names if name.strip() in _SEVERAL else column.strip()
    return of_object(value)


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _invalid([_("The mapping is not a valid JSON object.")])
    return value


def _answers(value: Any, name: str, columns: tuple[str, ...]) -> list[Any]:
    """Return the answers in one cell: none, one, or in a single column a list of them."""
    if value is None:
        return []
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return [{"text": str(value), "origin": name[:120] if len(columns) > 1 else ""}]
    if isinstance(value, dict) and value.get("type") == "image":
        return [{"text": [value], "origin": name[:120] if len(columns) > 1 else ""}]
    if isinstance(value, list) and not (value and isinstance(value[0], dict) and "role" in value[0]):
        return list(value)
    if isinstance(value, list):
        return [value]
    raise Refused(_("Its {name} is neither text nor a list of answers."), name=name[:60])


def _id(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _word(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _number(value: Any) -> Any:
    """Return a number written as text, such as a table has it; anything else as it is, for who checks it."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,18}\s*", value) else value


# What is taken over from a column as it is, and how its cells are read.
_KEPT: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("domain", "batch"), _word),
    **dict.fromkeys(("wanted", "priority"), _number),
    **dict.fromkeys(("requires", "about"), lambda value: value),
}


def _invalid(reasons: list[str]) -> Invalid:
    return Invalid(" ".join(reasons), {"mapping": reasons})
