"""``manage.py catalogues de``: bring the catalogues of a language up to date with the sources, and compile them.

For who changes words or adds a language; needs the gettext tools (``apt install gettext``). Running Attune needs
neither: the compiled catalogues are part of it.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.core.management.commands import makemessages

from frontend import registered

# No page comes from these.
APART = ["tests/*", "var/*"]


@contextmanager
def _written_out() -> Iterator[None]:
    """Put the registries' words where the gettext tools find them, as long as they look."""
    path = Path(registered.__file__).with_name("registered_words.py")
    lines = [
        f"gettext({text!r})" if context is None else f"pgettext({context!r}, {text!r})"
        for context, text in registered.messages()
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    try:
        yield
    finally:
        path.unlink()


class _Messages(makemessages.Command):
    """Django's, which also finds what is told now and said later: see `annotation.told` and `training.recipes.note`."""

    xgettext_options = [
        *makemessages.Command.xgettext_options,
        *("--keyword=told:1", "--keyword=told_many:1,2", "--keyword=Note:1"),
    ]


class Command(BaseCommand):
    help = "Bring the catalogues of languages up to date with the sources, and compile them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("languages", nargs="+", help="codes such as de")

    def handle(self, *args: Any, languages: list[str], **options: Any) -> None:
        unknown = sorted(set(languages) - {code for code, _name in settings.LANGUAGES})
        if unknown:
            raise CommandError(f"Add {', '.join(unknown)} to LANGUAGES in frontend/settings.py first.")
        os.chdir(settings.BASE_DIR)  # the sources are looked for below the current folder
        common = {"locale": languages, "verbosity": options["verbosity"]}
        # Without places, and messages on one line: else whoever moves a page changes the catalogue.
        layout = {"no_location": True, "no_wrap": True, "no_obsolete": True}
        with _written_out():
            call_command(_Messages(), ignore_patterns=APART, **layout, **common)
        call_command("compilemessages", ignore_patterns=["var"], **common)
        for code in languages:
            for path in sorted(Path().glob(f"*/locale/{code}/LC_MESSAGES/django.po")):
                self.stdout.write(str(path))
