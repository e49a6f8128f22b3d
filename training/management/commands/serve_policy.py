"""``manage.py serve_policy --campaign NAME``: the policy in use for programs that speak OpenAI's interface."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.models import Campaign
from training import store
from training.api import openai
from training.recipes.chat import MODES
from training.services import versions


class Command(BaseCommand):
    help = (
        "Serves the policy that a campaign has in use: POST /v1/chat/completions and GET /v1/models, as OpenAI's "
        "clients speak, with a token of this server as the key. Leave with Ctrl-C."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--campaign", required=True, help="name or id of the campaign")
        parser.add_argument("--host", default="127.0.0.1", help="address to listen at; put TLS in front of any other")
        parser.add_argument("--port", type=int, default=8001)
        parser.add_argument(
            "--mode", choices=MODES, default="", help="of a model with modes; positive if left out, and locked"
        )
        parser.add_argument(
            "--guard", default="", help="folder of a guard; if left out, the one that the campaign's loop names"
        )

    def handle(self, *, campaign: str, host: str, port: int, mode: str, guard: str, **options: Any) -> None:
        found = Campaign.objects.kept().filter(name=campaign).first()
        if found is None and campaign.isdecimal():
            found = Campaign.objects.kept().filter(pk=int(campaign)).first()
        if found is None:
            raise CommandError(f"There is no campaign {campaign}.")
        if not 0 <= port <= 65535:
            raise CommandError(f"There is no port {port}. Choose one from 1024 to 65535.")
        if guard and not store.exists(f"{guard}/guard.json"):
            raise CommandError(f"{guard} holds no guard. Make one with python -m training.core.guard fit.")
        policy = openai.Policy(found, guard=guard, mode=mode)
        try:
            has = versions.modes(policy.version())
            if mode and mode not in has:
                told = f"It has {', '.join(has)}." if has else "It has none: train it with magic-modes."
                raise CommandError(f"{policy.version().label} has no mode called {mode}. {told}")
            server = openai.server(policy, host=host, port=port)
        except openai.Refused as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"{host}:{port} cannot be listened at: {error.strerror}. Choose another port.") from None
        self.stdout.write(f"{policy.version().label} of {found} answers at http://{host}:{port}/v1")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            self.stdout.write("Stopped.")
        finally:
            server.server_close()
            policy.stop()
