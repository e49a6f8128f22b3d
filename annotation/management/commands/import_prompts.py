"""Import a JSON Lines file into a campaign and print what came of each line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.errors import AnnotationError
from annotation.models import Campaign, User
from annotation.services.intake import ImportReport, import_lines, read_lines


class Command(BaseCommand):
    help = (
        "Import prompts with their completions from a JSON Lines file (or - for standard input) into a campaign. "
        "Importing again creates nothing twice. Ends with status 1 when a line was refused; the good ones are kept."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("campaign", help="name or id of the campaign")
        parser.add_argument("file", help="path of the file, or - for standard input")
        parser.add_argument("--user", help="username in whose name to import; it stands in the campaign's history")

    def handle(self, *args: Any, **options: Any) -> None:
        campaign = campaign_called(options["campaign"])
        actor = None
        if options["user"]:
            actor = User.objects.filter(username=options["user"]).first()
            if actor is None:
                raise CommandError(f"There is no user called {options['user']!r}.")
        try:
            if options["file"] == "-":
                report = import_lines(campaign=campaign, lines=read_lines(sys.stdin.buffer), actor=actor)
            else:
                with Path(options["file"]).open("rb") as file:
                    report = import_lines(campaign=campaign, lines=read_lines(file), actor=actor)
        except OSError as error:
            raise CommandError(f"{options['file']} cannot be read: {error.strerror}.") from None
        except AnnotationError as error:
            raise CommandError(str(error)) from None
        self._print(report)
        if report.failed:
            raise CommandError(f"{report.failed} lines were refused.", returncode=1)

    def _print(self, report: ImportReport) -> None:
        for error in report.errors:
            self.stderr.write(f"line {error.line}: {error.reason}")
        if report.failed > len(report.errors):
            self.stderr.write(f"and {report.failed - len(report.errors)} more lines that were refused")
        self.stdout.write(f"{report.created} created, {report.existing} existed, {report.failed} refused")


def campaign_called(name: str) -> Campaign:
    """Return the campaign of this name, else of this id; raises `CommandError` that lists what there is."""
    campaign = Campaign.objects.filter(name=name).first()
    if campaign is None and name.isascii() and name.isdigit():
        campaign = Campaign.objects.filter(pk=int(name)).first()
    if campaign is None:
        names = ", ".join(repr(name) for name in Campaign.objects.order_by("name").values_list("name", flat=True)[:20])
        raise CommandError(f"There is no campaign {name!r}; there are: {names or 'none'}.")
    return campaign
