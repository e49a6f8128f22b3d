"""What becomes of each row: the items it makes, or why it makes none. The same for a preview and for an import."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from annotation.feedback import FeedbackType
from annotation.importing import threads
from annotation.importing.albums import Album
from annotation.importing.illustrations import illustrated
from annotation.importing.items import Item, Refused, check
from annotation.importing.layouts import items_of
from annotation.importing.mapping import Columns
from annotation.importing.rows import Row


@dataclass(frozen=True)
class Outcome:
    """An item of a row, with the reason when it is refused; without item and reason the row is blank."""

    row: Row
    item: Item | None = None
    reason: str = ""
    alone: bool = True  # whether the item is all there is in its row


def outcomes(rows: Iterable[Row], columns: Columns, feedback_kind: FeedbackType, album: Album) -> Iterator[Outcome]:
    """Yield what comes of each row under a campaign's kind, in order; images are put into the album, none is stored."""
    rows, columns = threads.gathered(illustrated(rows, columns, album), columns)
    for row in rows:
        if row.reason or row.value is None:
            yield Outcome(row, reason=row.reason)
            continue
        try:
            items = items_of(columns.apply(row.value), bounds=feedback_kind.completions, per_item=columns.per_item)
        except Refused as refused:
            yield Outcome(row, reason=str(refused))
            continue
        for item in items:
            reason = ""
            try:
                check(item, feedback_kind)
            except Refused as refused:
                reason = str(refused)
            yield Outcome(row, item, reason, alone=len(items) == 1)
