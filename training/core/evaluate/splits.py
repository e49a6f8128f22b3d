"""A reward model's accuracy on what is new to it, beside what is like its data: prompts, people, writers, time.

What a model has seen is told by the rows it learned from. A split is told only where both of its sides have pairs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.core.records import Refused, messages_of, prompt_hash
from training.core.stats import Interval, accuracy_by_prompt, difference

Row = Mapping[str, Any]


@dataclass
class Known:
    """What a model has seen in training."""

    prompts: set[str] = field(default_factory=set)
    annotators: set[str] = field(default_factory=set)
    generators: set[str] = field(default_factory=set)
    latest: int = 0  # the newest judgement; ids ascend with time


def lines(path: str | Path) -> dict[int, Row]:
    """Return the rows of a file by their line, counted from 1; lines that are no objects are left out."""
    found: dict[int, Row] = {}
    with Path(path).open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                found[number] = row
    return found


def known_of(paths: Iterable[str | Path]) -> Known:
    """Return what was seen in these files."""
    known = Known()
    for path in paths:
        for row in lines(path).values():
            if (hash_ := _prompt(row)) is not None:
                known.prompts.add(hash_)
            if row.get("annotator"):
                known.annotators.add(str(row["annotator"]))
            known.generators.update(_generators(row))
            known.latest = max(known.latest, _judgement(row) or 0)
    return known


def _prompt(row: Row) -> str | None:
    try:
        return prompt_hash(messages_of(row.get("prompt")))
    except Refused:
        return None


def _generators(row: Row) -> set[str]:
    return {str(row[name]) for name in ("chosen_origin", "rejected_origin", "origin") if row.get(name)}


def _judgement(row: Row) -> int | None:
    value = row.get("feedback")
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _prompt_is_new(row: Row, known: Known) -> bool | None:
    hash_ = _prompt(row)
    return None if hash_ is None or not known.prompts else hash_ not in known.prompts


def _annotator_is_new(row: Row, known: Known) -> bool | None:
    return row["annotator"] not in known.annotators if row.get("annotator") and known.annotators else None


def _generator_is_new(row: Row, known: Known) -> bool | None:
    """Return whether either answer is by a writer of whom the model has seen nothing."""
    writers = _generators(row)
    return bool(writers - known.generators) if writers and known.generators else None


def _is_later(row: Row, known: Known) -> bool | None:
    judgement = _judgement(row)
    return judgement > known.latest if judgement is not None and known.latest else None


def _stood_second(row: Row, known: Known) -> bool | None:
    return {0: False, 1: True}.get(row.get("position"))  # type: ignore[arg-type]


def _is_shorter(row: Row, known: Known) -> bool | None:
    sizes = [len(json.dumps(row.get(side), ensure_ascii=False)) for side in ("chosen", "rejected")]
    return None if sizes[0] == sizes[1] else sizes[0] < sizes[1]


# name → which side of the split a row is on: the familiar one (False), the other (True), or neither (None)
SPLITS: dict[str, Callable[[Row, Known], bool | None]] = {
    "prompt": _prompt_is_new,
    "annotator": _annotator_is_new,
    "generator": _generator_is_new,
    "time": _is_later,
    "position": _stood_second,
    "length": _is_shorter,
}
# How the two sides are called in the figures.
SIDES = {
    "prompt": ("seen", "new"),
    "annotator": ("seen", "new"),
    "generator": ("seen", "new"),
    "time": ("before", "after"),
    "position": ("first", "second"),
    "length": ("longer", "shorter"),
}


def splits(
    rows: Sequence[Row], hashes: Sequence[str], right: Sequence[float], known: Known, *, confidence: float
) -> dict[str, Interval]:
    """Return the accuracy on each side of each split, and what is lost from the first to the second.

    `right` is 1, 0 or ½ a pair, and `hashes` says whose prompt it is; intervals count prompts (Wilson), and what is
    lost has Newcombe's. Position and length split by the pair itself: a model that leans on either is right where the
    better answer stood first, or is the longer one, and wrong elsewhere.
    """
    figures: dict[str, Interval] = {}
    for name, side_of in SPLITS.items():
        sides: dict[bool, list[int]] = {False: [], True: []}
        for index, row in enumerate(rows):
            side = side_of(row, known)
            if side is not None:
                sides[side].append(index)
        if not all(sides.values()):
            continue
        told = [
            accuracy_by_prompt([hashes[i] for i in sides[one]], [right[i] for i in sides[one]], confidence=confidence)
            for one in (False, True)
        ]
        for word, value in zip(SIDES[name], told, strict=True):
            figures[f"accuracy_{name}_{word}"] = value
        figures[f"lost_{name}"] = difference(*told)
    return figures
