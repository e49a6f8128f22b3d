"""Put the questions of a safety suite into a campaign's queue, so that people answer them blind."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.errors import AnnotationError
from training.errors import TrainingError
from training.management.commands.run import campaign_called, person_called
from training.services import baselines


class Command(BaseCommand):
    help = (
        "Puts the questions of a suite, in LabSafety Bench's layout, into the queue of a campaign that asks for a "
        "letter (template suite-questions). How many people get right then stands beside what policies get right."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file", help="the suite: JSON Lines, packed by gzip or not, its images beside it; or both as a ZIP"
        )
        parser.add_argument("--campaign", required=True, help="name or id of the campaign")
        parser.add_argument(
            "--as",
            dest="purpose",
            choices=baselines.QUALIFYING,
            default="",
            help="what people qualify by before their first item, in place of a reference line",
        )
        parser.add_argument("--actor", help="username of who does it")

    def handle(self, *, file: str, **options: Any) -> None:
        campaign, actor = campaign_called(options["campaign"]), person_called(options["actor"])
        try:
            asked = baselines.ask(campaign=campaign, path=file, actor=actor, purpose=options["purpose"])
        except (TrainingError, AnnotationError) as error:
            raise CommandError(str(error)) from None
        told = f"{asked.created} questions are in the queue of {campaign}; {asked.existing} were there."
        if asked.unsupported:
            told += f" {asked.unsupported} are unsupported: their image did not come along."
        self.stdout.write(told)
