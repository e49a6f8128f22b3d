from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from frontend import demo, stack
from frontend.supervisor import StartFailed, Supervisor


class Command(BaseCommand):
    help = "Make the demo where it is missing (three people, two campaigns) and run everything, as `serve` does."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        stack.add_arguments(parser)
        parser.add_argument("--reset-passwords", action="store_true", help="give the three people new passwords")
        parser.add_argument("--exit", action="store_true", help="make the demo, then stop")

    def handle(self, *args: Any, **options: Any) -> None:
        address = stack.Address.of(options)

        def main(supervisor: Supervisor) -> None:
            first = demo.seed()
            if first is not None:
                self.say("  Campaigns: ready. A small model writes answers to judge; this takes a minute.")
                demo.wait_for_answers(first, say=self.say, meanwhile=supervisor.look_after_children)
            self.introduce(again=options["reset_passwords"])
            if not options["exit"]:
                stack.announce(address, say=self.say, open_browser=options["open"])
                supervisor.watch()

        self.say("The Attune demo is starting.")
        try:
            stack.run(main, address=address, say=self.say)
        except StartFailed as error:
            raise CommandError(str(error)) from error
        self.say("Stopped. All data is kept.")

    def introduce(self, *, again: bool) -> None:
        """Print the passwords that were made now, once."""
        handed_out = demo.hand_out_passwords(again=again)
        if not handed_out:
            self.say("\nThe passwords are those of the first start. Lost? ./attune demo --reset-passwords")
            return
        self.say("\nPasswords, shown only this once:")
        for user, password in handed_out:
            self.say(f"  {user.username:<5} {password}   ({user.last_name.lower()})")

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
