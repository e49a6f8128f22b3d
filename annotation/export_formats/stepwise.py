"""TRL's stepwise supervision format: an answer in steps, each right or wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby

from annotation.export_formats.base import FEEDBACK, Format, Row, kept, text
from annotation.export_formats.unpaired import WANTED

# A step is a paragraph, or a line that begins a point of a list.
_STEP = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*•]|\d+[.)])\s)")


def rows(given: Iterable[Row]) -> Iterator[Row]:
    """Yield a row for each answer with marked weaknesses or none at all, and for each dialogue judged turn by turn."""
    for _, of_one in groupby(given, key=lambda row: row["feedback"]):
        several = list(of_one)
        turns = [row for row in several if row["turn"] is not None]
        if len(turns) > 1 and all(_reward(row) is not None for row in turns):
            yield _turns(turns)
        else:
            yield from filter(None, map(_paragraphs, several))


def _reward(row: Row) -> float | None:
    if "reward" in row:
        return row["reward"]
    return None if row.get("score") is None else (row["score"] - 1) / 4


def _turns(turns: list[Row]) -> Row:
    return {
        "prompt": text(turns[0]["prompt"]),
        "completions": [text(row["completion"]) for row in turns],
        "labels": [(_reward(row) or 0.0) >= WANTED for row in turns],
        **kept(turns[0], *FEEDBACK),
    }


def _paragraphs(row: Row) -> Row | None:
    """Return the answer in steps; None where a weakness was written about, but nothing marked that tells the step."""
    if "passages" not in row:
        return None
    marked = [one for one in row["passages"] if one["about"] == "weaknesses" and one.get("start") is not None]
    if not marked and (row["weaknesses"] or not row["strengths"]):
        return None
    answer = text(row["completion"])
    steps, labels = [], []
    for start, end in _steps(answer):
        steps.append(answer[start:end].strip())
        labels.append(not any(one["start"] < end and start < one["end"] for one in marked))
    return {"prompt": text(row["prompt"]), "completions": steps, "labels": labels, **kept(row, *FEEDBACK)}


def _steps(answer: str) -> Iterator[tuple[int, int]]:
    start = 0
    for border in _STEP.finditer(answer):
        if answer[start : border.start()].strip():
            yield start, border.start()
        start = border.end()
    if answer[start:].strip():
        yield start, len(answer)


STEPWISE = Format(
    "stepwise",
    "TRL stepwise: an answer in steps, each right or wrong",
    ("critiques", "outcomes"),
    {
        "prompt": "the prompt as one text",
        "completions": "list of steps: paragraphs and points of an answer, or the turns of a dialogue",
        "labels": "list of true and false: whether nothing in the step was marked as a weakness, or its turn was good",
        **FEEDBACK,
    },
    rows,
)
