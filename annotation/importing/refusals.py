"""Imports that people ask for: what was refused is kept as a file, to be mended and imported again."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterable
from datetime import timedelta
from typing import BinaryIO, cast

from django.core.files import File
from django.core.files.storage import default_storage

from annotation.importing import kept_files
from annotation.importing.attachments import Files
from annotation.importing.mapping import Columns
from annotation.importing.rows import Row
from annotation.models import Campaign, Event, User
from annotation.services import events
from annotation.services.intake import ImportReport, import_rows

FOLDER = "refused"
KEPT = timedelta(days=30)
REPORT = "tasks.lines_refused"
SPOOL_BYTES = 1024 * 1024


def import_and_keep(
    *,
    campaign: Campaign,
    rows: Iterable[Row],
    actor: User | None,
    columns: Columns | None = None,
    files: Files | None = None,
) -> tuple[ImportReport, Event | None]:
    """Import the rows; return what came of each, and the event that keeps what was refused, None when nothing was.

    The event has the first thousand reasons. The file it names has every refused row with its reason, for 30 days.
    """
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
        report = import_rows(
            campaign=campaign,
            rows=rows,
            actor=actor,
            columns=columns,
            refused_to=cast(BinaryIO, spool),
            files=files,
        )
        if not report.failed:
            return report, None
        kept_files.expire(FOLDER, KEPT)
        spool.seek(0)
        name = f"{FOLDER}/{campaign.pk}-{secrets.token_hex(16)}.jsonl"
        name = default_storage.save(name, File(cast(BinaryIO, spool), name=name))
    event = events.record(
        campaign=campaign,
        actor=actor,
        action=REPORT,
        target=f"{report.failed} lines",
        detail={
            "created": report.created,
            "existing": report.existing,
            "failed": report.failed,
            "errors": [[error.line, error.reason] for error in report.errors],
            "file": name,
        },
    )
    return report, event


def report_of(campaign: Campaign, event_id: int) -> Event | None:
    """Return the event that keeps what an import into this campaign refused."""
    return Event.objects.filter(pk=event_id, campaign=campaign, action=REPORT).first()


def open_refused(event: Event) -> BinaryIO | None:
    """Return the file of an import's refused rows; None when it has expired."""
    try:
        return cast(BinaryIO, default_storage.open(event.detail["file"]))
    except (KeyError, FileNotFoundError):
        return None
