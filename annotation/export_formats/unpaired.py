"""TRL's unpaired preference format: single answers that are wanted or not, for KTO."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from annotation.export_formats.base import FEEDBACK, MESSAGES, Format, Row, kept

# From half of what can be had on, an answer counts as wanted.
WANTED = 0.5


def rows(given: Iterable[Row]) -> Iterator[Row]:
    """Yield both answers of a pair, or a rated answer by whether it has at least half of what can be had."""
    for row in given:
        shared = kept(row, "prompt", "images")
        if "chosen" not in row:
            yield {**shared, **kept(row, "completion"), "label": row["reward"] >= WANTED, **kept(row, *FEEDBACK)}
            continue
        for column, label in (("chosen", True), ("rejected", False)):
            yield {**shared, "completion": row[column], "label": label, **kept(row, *FEEDBACK)}


UNPAIRED = Format(
    "unpaired",
    "TRL unpaired: single answers, wanted or not",
    ("pairs", "outcomes"),
    {
        "prompt": MESSAGES,
        "completion": f"{MESSAGES}: the answer",
        "label": "true for an answer that was preferred, or that has at least half of what can be had",
        **FEEDBACK,
    },
    rows,
    reader="trl.KTOTrainer",
)
