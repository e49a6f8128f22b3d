from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from frontend import stack
from frontend.supervisor import StartFailed, Supervisor


class Command(BaseCommand):
    help = "Run everything on this machine: broker, web server and workers. Ctrl-C stops them all."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        stack.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        address = stack.Address.of(options)

        def main(supervisor: Supervisor) -> None:
            stack.announce(address, say=self.say, open_browser=options["open"])
            supervisor.watch()

        self.say("Attune is starting.")
        try:
            stack.run(main, address=address, say=self.say)
        except StartFailed as error:
            raise CommandError(str(error)) from error
        self.say("Stopped. All data is kept.")

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
