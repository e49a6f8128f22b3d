"""Put the dialogues that a run branched into a campaign's queue, so that people say which came out better."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.errors import AnnotationError
from training.errors import TrainingError
from training.management.commands.run import campaign_called, person_called
from training.models import Run
from training.services import rollouts


class Command(BaseCommand):
    help = (
        "Puts the pairs of a run refuel-rollouts into the queue of a campaign that compares whole dialogues: both "
        "beside each other, what they share once. refuel learns from what people say, at the turn where they part."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", type=int, help="number of the run that branched them")
        parser.add_argument("--campaign", required=True, help="name or id of the campaign whose people compare them")
        parser.add_argument("--actor", help="username of who does it")

    def handle(self, *, run: int, **options: Any) -> None:
        campaign, actor = campaign_called(options["campaign"]), person_called(options["actor"])
        found = Run.objects.filter(pk=run).first()
        if found is None:
            raise CommandError(f"There is no run {run}.")
        try:
            asked = rollouts.ask(run=found, campaign=campaign, actor=actor)
        except (TrainingError, AnnotationError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(
            f"{asked.created} pairs of dialogues are in the queue of {campaign}; {asked.existing} were there."
        )
