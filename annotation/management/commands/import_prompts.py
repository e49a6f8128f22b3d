"""Import files of prompts with their answers into a campaign, and print what came of each row."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.errors import AnnotationError
from annotation.importing import attachments, mapping
from annotation.importing.attachments import Files, FolderFiles
from annotation.importing.folders import rows_of_files
from annotation.importing.rows import Row
from annotation.models import Campaign, User
from annotation.services.intake import ImportReport, import_rows


class Command(BaseCommand):
    help = (
        "Import prompts with their answers into a campaign: JSON Lines, JSON, CSV, TSV, Parquet or Arrow, plain or "
        "packed with gzip, a ZIP archive with images, or a folder that `datasets` wrote. Images that rows name are "
        "looked for beside them. Importing again creates nothing twice. Ends with status "
        "1 when a row was refused; the good ones are kept."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("campaign", help="name or id of the campaign")
        parser.add_argument("file", nargs="+", help="files or folders, or - for standard input")
        parser.add_argument(
            "--map",
            action="append",
            default=[],
            metavar="WHAT=COLUMN",
            help=(
                "which column is what: prompt=question, completions=a,b, id=…, domain=…, batch=…, labels=a,b, "
                "wanted=…, priority=…, requires=…, language=…, about=…; "
                "per_item=2 makes pairs of more answers, together=uid puts rows with the same uid into one item; "
                "or all of it as one JSON object"
            ),
        )
        parser.add_argument(
            "--errors", metavar="FILE", help="a new file for the refused rows, to be mended and imported"
        )
        parser.add_argument("--user", help="username in whose name to import; it stands in the campaign's history")

    def handle(self, *args: Any, **options: Any) -> None:
        campaign = campaign_called(options["campaign"])
        actor = None
        if options["user"]:
            actor = User.objects.filter(username=options["user"]).first()
            if actor is None:
                raise CommandError(f"There is no user called {options['user']!r}.")
        try:
            columns = mapping.of_words(options["map"])
            with ExitStack() as stack:
                refused = stack.enter_context(_opened(options["errors"]))
                rows, files = stack.enter_context(_sources(options["file"]))
                report = import_rows(
                    campaign=campaign,
                    rows=rows,
                    files=files,
                    actor=actor,
                    columns=columns,
                    refused_to=refused,
                )
        except OSError as error:
            raise CommandError(f"{error.filename or options['file'][0]} cannot be read: {error.strerror}.") from None
        except AnnotationError as error:
            raise CommandError(str(error)) from None
        self._print(report)
        if report.failed:
            raise CommandError(f"{report.failed} lines were refused.", returncode=1)

    def _print(self, report: ImportReport) -> None:
        for error in report.errors:
            self.stderr.write(f"{error.file + ' ' if error.file else ''}line {error.line}: {error.reason}")
        if report.failed > len(report.errors):
            self.stderr.write(f"and {report.failed - len(report.errors)} more lines that were refused")
        self.stdout.write(f"{report.created} created, {report.existing} existed, {report.failed} refused")


@contextmanager
def _sources(names: list[str]) -> Iterator[tuple[Iterator[Row], Files]]:
    """Give the rows of the files, and where the images lie that they name: in the archive, or in the rows' folders."""
    if names == ["-"]:
        yield attachments.opened(sys.stdin.buffer)
        return
    paths = [Path(name) for name in names]
    archives = [path for path in paths if path.suffix.lower() == ".zip"]
    if archives and len(paths) > 1:
        raise CommandError("Import a ZIP archive by itself: its images belong to its rows alone.")
    if archives:
        with archives[0].open("rb") as file:
            yield attachments.opened(file, name=archives[0].name)
    else:
        yield rows_of_files(paths), FolderFiles([path if path.is_dir() else path.parent for path in paths])


def _opened(name: str | None) -> AbstractContextManager[BinaryIO | None]:
    if name is None:
        return nullcontext()
    try:
        # Never over one that is there: it may be the very file that was mended.
        return Path(name).open("xb")
    except FileExistsError:
        raise CommandError(f"{name} is there already; give the refused rows another name.") from None
    except OSError as error:
        raise CommandError(f"{name} cannot be written: {error.strerror}.") from None


def campaign_called(name: str) -> Campaign:
    """Return the campaign of this name, else of this id; raises `CommandError` that lists what there is."""
    campaign = Campaign.objects.kept().filter(name=name).first()
    if campaign is None and name.isascii() and name.isdigit():
        campaign = Campaign.objects.kept().filter(pk=int(name)).first()
    if campaign is None:
        names = ", ".join(
            repr(name) for name in Campaign.objects.kept().order_by("name").values_list("name", flat=True)[:20]
        )
        raise CommandError(f"There is no campaign {name!r}; there are: {names or 'none'}.")
    return campaign
