"""``manage.py export_model policy-3 --campaign NAME --into FOLDER``: a model to carry away, with its card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.models import Campaign, User
from training.errors import TrainingError, WrongState
from training.models import ModelVersion
from training.services import model_folders


class Command(BaseCommand):
    help = (
        "Writes a model into a new folder that the transformers library reads, with a card of its lineage, its data "
        "and its gate. With --merged an adapter is put into the weights of its base."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("version", help="such as policy-3")
        parser.add_argument("--campaign", required=True, help="name or id of the campaign")
        parser.add_argument("--into", required=True, help="a folder that is not there yet")
        parser.add_argument("--merged", action="store_true", help="whole weights instead of an adapter")
        parser.add_argument(
            "--unattacked", action="store_true", help="take a policy away of which no tamper test was done"
        )
        parser.add_argument("--actor", help="username that the audit trail names")

    def handle(self, *, version: str, campaign: str, into: str, merged: bool, unattacked: bool, **options: Any) -> None:
        found = Campaign.objects.kept().filter(name=campaign).first()
        if found is None and campaign.isdecimal():
            found = Campaign.objects.kept().filter(pk=int(campaign)).first()
        if found is None:
            raise CommandError(f"There is no campaign {campaign}.")
        person = User.objects.filter(username=options["actor"]).first() if options["actor"] else None
        if options["actor"] and person is None:
            raise CommandError(f"There is no person called {options['actor']}.")
        labels = {one.label: one for one in ModelVersion.objects.filter(campaign=found).order_by("kind", "number")}
        if version not in labels:
            raise CommandError(f"There is no version {version} in {found}. There are {', '.join(labels) or 'none'}.")
        try:
            folder = model_folders.export(
                version=labels[version],
                into=Path(into).absolute(),
                merged=merged,
                actor=person,
                confirmed=unattacked,
            )
        except WrongState as error:
            hint = " Here: --unattacked." if not unattacked and model_folders.is_unattacked(labels[version]) else ""
            raise CommandError(f"{error}{hint}") from None
        except (TrainingError, OSError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{version} is in {folder}; its card is README.md.")
