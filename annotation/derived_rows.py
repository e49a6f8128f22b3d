"""Rows that are made of other rows: turns and people of pairs, outcomes of ratings and scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from annotation.feedback.critique import SCORES
from annotation.feedback.scales import HIGHEST

Row = dict[str, Any]

# Pairs of one person in one row of "people": as many to learn from, and as many to be told right.
CONTEXT = TARGET = 8


def turn(row: Row) -> Row | None:
    """Return the row of "turns" of a pair."""
    return {
        **_kept(row, "prompt", "images", "chosen", "rejected", "chosen_images", "rejected_images"),
        "gap": row["strength"],
        "number": 1 + sum(message["role"] == "assistant" for message in row["prompt"]),
        **_kept(row, "chosen_origin", "rejected_origin"),
    }


def outcome(row: Row) -> Row | None:
    """Return the row of "outcomes" of a rated or scored answer; None without any number."""
    if "ratings" in row:
        points = [value for value in row["ratings"].values() if value is not None]
        reward, source = (sum(points) / (len(points) * HIGHEST) if points else None), "ratings"
    else:
        lowest, highest = min(SCORES), max(SCORES)
        score = row["score"]
        reward, source = (None if score is None else (score - lowest) / (highest - lowest)), "critiques"
    if reward is None:
        return None
    kept = _kept(row, "prompt", "images", "completion", "completion_images")
    return {**kept, "reward": reward, "source": source, "completion_origin": row["completion_origin"]}


# View → what makes its row of one of a view that it is made of.
BY_ROW: dict[str, Callable[[Row], Row | None]] = {"turns": turn, "outcomes": outcome}


def person(pairs: Iterable[Row]) -> Iterator[Row]:
    """Yield the rows of "people" of one person's pairs, oldest first, of which sixteen at most are held.

    A pair whose prompt is in the context is no target: what a model is told there, it need not tell.
    """
    coming = iter(pairs)
    while several := list(islice(coming, CONTEXT + TARGET)):
        half = (len(several) + 1) // 2
        context, later = several[:half], several[half:]
        known = [pair["prompt"] for pair in context]
        target = [pair for pair in later if pair["prompt"] not in known]
        if not target:
            continue
        yield {
            "annotator": several[0]["annotator"],
            "context": [_pair(pair) for pair in context],
            "target": [_pair(pair) for pair in target],
            **_kept(several[0], "simulated", "campaign"),
            "feedback": several[-1]["feedback"],
        }


def _pair(row: Row) -> Row:
    return _kept(row, "prompt", "images", "chosen", "rejected", "chosen_images", "rejected_images", "strength")


def _kept(row: Row, *names: str) -> Row:
    return {name: row[name] for name in names if name in row}
