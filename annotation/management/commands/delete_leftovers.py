"""Delete the files of images that no row points to, and print how many there were; the daily task does the same."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from annotation.importing import leftovers


class Command(BaseCommand):
    help = (
        "Delete files of images that no row points to: those of campaigns that were deleted, and of imports that were "
        "killed midway. Files that are newer than some days are kept, because an import may be about to name them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--days", type=int, default=leftovers.KEPT.days, help="how old a file must be (%(default)s)"
        )
        parser.add_argument("--dry-run", action="store_true", help="only print the paths")

    def handle(self, *args: Any, **options: Any) -> None:
        older_than = timedelta(days=max(0, min(options["days"], 36_500)))
        if options["dry_run"]:
            found = list(leftovers.leftovers(older_than))
            for path in found:
                self.stdout.write(path)
            self.stdout.write(f"{len(found)} files would be deleted")
            return
        self.stdout.write(f"{leftovers.delete_leftovers(older_than)} files deleted")
