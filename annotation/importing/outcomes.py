"""What becomes of each row: the items it makes, or why it makes none. The same for a preview and for an import."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from annotation.dialogues import scope_of
from annotation.feedback import kind
from annotation.feedback.scoped import bounds
from annotation.importing import threads
from annotation.importing.albums import Album
from annotation.importing.dialogues import as_judged, check_row
from annotation.importing.illustrations import illustrated
from annotation.importing.items import Item, Refused, check
from annotation.importing.layouts import items_of
from annotation.importing.mapping import Columns
from annotation.importing.rows import Row
from annotation.models import Campaign


@dataclass(frozen=True)
class Outcome:
    """An item of a row, with the reason when it is refused; without item and reason the row is blank."""

    row: Row
    item: Item | None = None
    reason: str = ""
    alone: bool = True  # whether the item is all there is in its row


def outcomes(rows: Iterable[Row], columns: Columns, campaign: Campaign, album: Album) -> Iterator[Outcome]:
    """Yield what comes of each row in a campaign, in order; images are put into the album, none is stored."""
    feedback_kind, scope = kind(campaign.kind), scope_of(campaign.options)
    compared = bounds(feedback_kind, campaign.options)
    rows, columns = threads.gathered(illustrated(rows, columns, album), columns)
    for row in rows:
        if row.reason or row.value is None:
            yield Outcome(row, reason=row.reason)
            continue
        try:
            mapped = columns.apply(row.value)
            check_row(mapped, scope)
            items = items_of(mapped, bounds=compared, per_item=columns.per_item)
        except Refused as refused:
            yield Outcome(row, reason=str(refused))
            continue
        for item in items:
            alone = len(items) == 1
            try:
                judged = as_judged(item, scope, turn=row.value.get("turn"))
                check(judged, feedback_kind, campaign.options)
            except Refused as refused:
                yield Outcome(row, item, str(refused), alone=alone)
            else:
                yield Outcome(row, judged, alone=alone)
