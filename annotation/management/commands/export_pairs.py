"""Write a view of a campaign as JSON Lines: the same bytes that the REST export sends."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation import dataset_views, datasets
from annotation.errors import AnnotationError
from annotation.management.commands.import_prompts import campaign_called


class Command(BaseCommand):
    help = "Write the judgements of a campaign as JSON Lines, to standard output or to a file."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("campaign", help="name or id of the campaign")
        parser.add_argument("--view", default="pairs", help=f"one of: {', '.join(dataset_views.VIEWS)}")
        parser.add_argument("--split", choices=datasets.SPLITS, help="only prompts of this side; default: both")
        parser.add_argument("--batch", action="append", help="only items of this batch; may be given several times")
        parser.add_argument("--without-audit", action="store_true", help="leave out items drawn for measuring")
        parser.add_argument("--without-simulated", action="store_true", help="leave out simulated people")
        parser.add_argument("--after", type=int, default=0, help="continue after the row with this feedback id")
        parser.add_argument("--output", help="file to write; it appears when it is complete")

    def handle(self, *args: Any, **options: Any) -> None:
        campaign = campaign_called(options["campaign"])
        try:
            rows = datasets.rows(
                campaign,
                options["view"],
                datasets.Filters(
                    split=options["split"],
                    batches=options["batch"],
                    include_audit=not options["without_audit"],
                    include_simulated=not options["without_simulated"],
                ),
                after_id=options["after"],
            )
        except AnnotationError as error:
            raise CommandError(str(error)) from None
        if options["output"] is None:
            for line in datasets.lines(rows):
                self.stdout.write(line, ending="")
            return
        count = self._write(Path(options["output"]), rows)
        print(f"{count} rows written to {options['output']}", file=sys.stderr)

    def _write(self, path: Path, rows: Any) -> int:
        """Write the file under another name and rename it at the end, so that nobody reads half of it."""
        part = path.with_name(path.name + ".part")
        count = 0
        try:
            with part.open("w", encoding="utf-8") as file:
                for line in datasets.lines(rows):
                    file.write(line)
                    count += 1
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise CommandError(f"{path} cannot be written: {error.strerror}.") from None
        return count
