"""Put what lies in this machine's files folder into the bucket that all machines share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from training import paths, store

KEPT = (
    "snapshots",
    "runs",
    "merged",
    "rounds",
    "suites",
    "documents",
    "held_out",
    "untouched",
    "explored",
    "models",
    "prompts",
    "guards",
)


class Command(BaseCommand):
    help = (
        "Put files and folders into the bucket (FILES_IN_BUCKET), so that every machine can read them: models and "
        "prompts of your own below the files folder, or, when the bucket is new, everything. Safe to repeat."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "paths", nargs="*", default=KEPT, help="below the files folder, such as models/mine (everything)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not store.is_on():
            raise CommandError(
                "There is no bucket for files: set FILES_IN_BUCKET, and BUCKET_NAME with its companions."
            )
        for name in options["paths"]:
            path = (paths.files() / name).resolve()
            if not path.is_relative_to(paths.files().resolve()):
                raise CommandError(f"{name} is not below the files folder, {paths.files()}. Put it there first.")
            if not path.exists():
                if options["paths"] is KEPT:
                    continue
                raise CommandError(f"There is no {name} in {paths.files()}.")
            self.stdout.write(f"{store.keep(Path(path))}: {len(store.names(name))} files")
