"""What comes in: prompts with their completions become tasks. Each is stored once, however often it is sent."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

from django.db import transaction
from django.utils.translation import gettext as _

from annotation.dialogues import scope_of
from annotation.errors import Invalid
from annotation.feedback import kind
from annotation.importing.albums import Album
from annotation.importing.attachments import Files
from annotation.importing.dialogues import as_judged
from annotation.importing.items import Item, Refused, check
from annotation.importing.lines import line_rows
from annotation.importing.mapping import Columns
from annotation.importing.outcomes import outcomes
from annotation.importing.pictures import media_type_of
from annotation.importing.rows import Row
from annotation.importing.storing import store
from annotation.messages import Content, Message
from annotation.models import Campaign, Task, User
from annotation.routing import read_tags
from annotation.services import events
from annotation.storable import printable

CHUNK_ITEMS = 500
CHUNK_CHARACTERS = 8_000_000
# How many refused lines are told one by one; `ImportReport.failed` counts them all, and the file of them has them all.
MAX_ERRORS = 1000


@dataclass(frozen=True)
class LineError:
    line: int  # from 1
    reason: str  # fit to be stored and shown, whatever it quotes
    file: str = ""  # when several were read


@dataclass
class ImportReport:
    """What an import did."""

    created: int = 0
    existing: int = 0  # items that were there already, from an earlier import or an earlier line
    blank: int = 0
    failed: int = 0
    errors: list[LineError] = field(default_factory=list)


def make_task(
    *,
    campaign: Campaign,
    messages: list[Message],
    completions: Sequence[tuple[Content, str]],
    external_id: str,
    wanted: int | None = None,
    priority: int = 0,
    is_audit: bool = False,
    batch: str = "",
    meta: dict[str, Any] | None = None,
    requires: Sequence[str] | None = None,
    about: Sequence[str] | None = None,
    opening: list[Message] | None = None,
    assignee: User | None = None,
    dialogues: list[list[Message]] | None = None,
) -> tuple[Task, bool]:
    """Return the task called `external_id` and whether it is new; one that exists is returned as it is.

    `completions` are (text or parts, origin) in canonical order; images in them are in the campaign already. `opening`
    is how a conversation begins of which other items have other turns: all of them are then in one split. With an
    `assignee` nobody else is given it. Whole `dialogues` go on from `messages`, each with a turn of the assistant;
    their texts are then transcripts. Raises `Invalid` for what people could not judge.
    """
    needs, of = (None if tags is None else tuple(read_tags(tags)) for tags in (requires, about))
    item = Item(external_id, messages, list(completions), wanted, priority, is_audit, batch, "", meta or {}, needs, of)
    try:
        item = _judgeable(campaign, replace(item, opening=opening, rests=dialogues or []))
    except Refused as refused:
        told = _("The item {id!r} cannot be judged. {refused}")
        raise Invalid(told.format(id=external_id, refused=refused)) from None
    with transaction.atomic():
        created, _clashing = store(campaign, {external_id: item})
        if created and assignee is not None:
            Task.objects.filter(campaign=campaign, external_id=external_id).update(assignee=assignee)
        task = Task.objects.get(campaign=campaign, external_id=external_id)
    return task, bool(created)


def objection(
    *, campaign: Campaign, messages: list[Message], completions: Sequence[tuple[Content, str]], external_id: str
) -> str:
    """Return why `make_task` would refuse such an item, or nothing. No SQL."""
    item = Item(external_id, messages, list(completions), None, 0, False, "", "", {})
    try:
        _judgeable(campaign, item)
    except Refused as refused:
        return str(refused)
    return ""


def _judgeable(campaign: Campaign, item: Item) -> Item:
    """Return the item as people of this campaign judge it; raises `Refused`."""
    judged = as_judged(item, scope_of(campaign.options))
    check(judged, kind(campaign.kind), campaign.options)
    return judged


def import_lines(*, campaign: Campaign, lines: Iterable[str | bytes], actor: User | None) -> ImportReport:
    """Store the items of JSON Lines and return what came of each line; see `import_rows`."""
    return import_rows(campaign=campaign, rows=line_rows(lines), actor=actor)


def import_rows(
    *,
    campaign: Campaign,
    rows: Iterable[Row],
    actor: User | None,
    columns: Columns | None = None,
    refused_to: BinaryIO | None = None,
    files: Files | None = None,
) -> ImportReport:
    """Store the items of the rows and return what came of each. Good rows are kept whatever the rest is.

    Chunk by chunk, each in its own transaction: an import that breaks off is continued by importing again, since an
    item is known by its id, or without one by its content. `refused_to` gets each refused row as a line of JSON:
    ``{"line", "reason", "row"}``, or ``text`` for what could not be read, the reason in the language of whoever
    imports. Mended, that file can be imported itself.
    `files` has the images that rows name.
    """
    report = ImportReport()
    with Album(campaign, files) as album:
        chunk = _Chunk(campaign, report, refused_to, album)
        for read in outcomes(rows, columns or Columns(), campaign, album):
            if read.reason:
                chunk.refuse(read.row, read.reason, None if read.alone else read.item)
            elif read.item is None:
                report.blank += 1
            else:
                chunk.add(read.row, read.item, alone=read.alone)
        chunk.flush()
    detail = {"created": report.created, "existing": report.existing, "failed": report.failed}
    events.record(campaign=campaign, actor=actor, action="tasks.imported", detail=detail)
    return report


class _Chunk:
    """The items and the refusals that wait to be written together."""

    def __init__(self, campaign: Campaign, report: ImportReport, refused_to: BinaryIO | None, album: Album) -> None:
        self._campaign, self._report, self._refused_to, self._album = campaign, report, refused_to, album
        self._seen = 0
        self._empty()

    def _empty(self) -> None:
        self._items: dict[str, Item] = {}
        self._rows: dict[str, tuple[int, Row, bool]] = {}
        self._refused: list[tuple[int, Row, str, Item | None]] = []
        self._characters = 0

    def add(self, row: Row, item: Item, *, alone: bool) -> None:
        """Take an item; `alone` when it is all there is in its row."""
        known = self._items.get(item.external_id)
        if known is None:
            self._items[item.external_id], self._rows[item.external_id] = item, (self._seen, row, alone)
            self._grow(row.size)
        elif known.same_as(item.content()):
            self._report.existing += 1
        else:
            self.refuse(row, _taken(item.external_id), None if alone else item)

    def refuse(self, row: Row, reason: str, item: Item | None = None) -> None:
        """Take a refusal; `item` when it is about one of several in its row."""
        self._report.failed += 1
        self._refused.append((self._seen, row, printable(reason), item))
        self._grow(row.size)

    def _grow(self, characters: int) -> None:
        self._seen += 1
        self._characters += characters
        if len(self._items) >= CHUNK_ITEMS or self._characters >= CHUNK_CHARACTERS or len(self._refused) >= CHUNK_ITEMS:
            self.flush()

    def _store(self) -> tuple[set[str], set[str]]:
        if not self._items:
            return set(), set()
        self._album.keep({sha256 for item in self._items.values() for sha256 in item.images})
        with transaction.atomic():
            return store(self._campaign, self._items)

    def flush(self) -> None:
        """Store the items in one transaction, and write down what was refused."""
        created, clashing = self._store()
        self._report.created += len(created)
        self._report.existing += len(self._items) - len(created) - len(clashing)
        for name in clashing:
            place, row, alone = self._rows[name]
            self._report.failed += 1
            self._refused.append((place, row, _taken(name), None if alone else self._items[name]))
        # Those that clash are found last; in the file they stand where they came.
        for _place, row, reason, item in sorted(self._refused, key=lambda refusal: refusal[0]):
            if len(self._report.errors) < MAX_ERRORS:
                self._report.errors.append(LineError(row.line, reason, row.file))
            if self._refused_to is not None:
                self._refused_to.write(_as_line(row, reason, item))
        self._empty()


def _as_line(row: Row, reason: str, item: Item | None) -> bytes:
    told: dict[str, Any] = {"line": row.line, "reason": reason}
    if row.file:
        told["file"] = row.file
    if row.original is not None:
        told["row"] = row.original
    elif item is not None:
        told["row"] = item.as_row()
    elif row.value is not None:
        told["row"] = row.value
    else:
        told["text"] = row.text
    # Half a character may be the very reason.
    return (json.dumps(told, ensure_ascii=False, default=_in_base64) + "\n").encode(errors="replace")


def _in_base64(value: bytes) -> str:
    """Return bytes, which only images are here, as a data URI: JSON has none."""
    return f"data:{media_type_of(value)};base64,{base64.b64encode(value).decode()}"


def _taken(external_id: str) -> str:
    return _("The id {id!r} belongs to an item with other content; nothing was changed.").format(id=external_id)
