"""Make, change and start a campaign's loop from a terminal."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.errors import AnnotationError
from annotation.models import Campaign
from annotation.quality.shares import Share
from training.errors import TrainingError
from training.management.commands.run import campaign_called, pair, person_called
from training.models import Loop, ModelVersion, Round
from training.services import gate_orders, rounds
from training.services.asked import of_loop


class Command(BaseCommand):
    help = (
        "Gives a campaign a loop, changes its settings and starts its next round; prints the settings as they are "
        "then. With a campaign alone it only prints."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--campaign", required=True, help="name or id of the campaign")
        parser.add_argument(
            "--policy", help="where there is no loop yet: the policy it begins with, a folder or hub name"
        )
        parser.add_argument("--prompts", help="where there is no loop yet: its JSON Lines file of prompts")
        parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="may be repeated")
        parser.add_argument(
            "--gate",
            metavar="POLICY",
            help="send a policy that no round made, policy-3, to the gate, where it waits while a round is open",
        )
        parser.add_argument("--withdraw", metavar="POLICY", help="take back a policy that waits for the gate")
        parser.add_argument(
            "--reason",
            default="",
            help="why a new loop takes another policy than the one in use, or a gate that was cancelled is held again",
        )
        parser.add_argument("--start", action="store_true", help="start the next round")
        parser.add_argument(
            "--asked", action="store_true", help="print by round how often the reward model agreed with people"
        )
        parser.add_argument("--actor", help="username of who does it")

    def handle(
        self,
        *,
        set: list[str],
        start: bool,
        asked: bool,
        policy: str | None,
        prompts: str | None,
        reason: str,
        gate: str | None,
        withdraw: str | None,
        **options: Any,
    ) -> None:
        campaign, actor = campaign_called(options["campaign"]), person_called(options["actor"])
        settings = dict(pair(given, "--set NAME") for given in set)
        loop = Loop.objects.filter(campaign=campaign).first()
        try:
            if policy or prompts:
                if not (policy and prompts):
                    raise CommandError("A new loop needs both --policy and --prompts.")
                loop = rounds.create_loop(
                    campaign=campaign,
                    policy=policy,
                    prompts_path=prompts,
                    settings=settings,
                    actor=actor,
                    reason=reason,
                )
            elif loop is None:
                raise CommandError(f"{campaign} has no loop. Give --policy and --prompts to make one.")
            elif settings:
                loop = rounds.configure(loop=loop, settings=settings, actor=actor)
            for name, value in loop.settings.items():
                self.stdout.write(f"{name}={value}")
            if asked:
                self._tell(loop)
            if gate:
                sent = gate_orders.send(version=policy_called(gate, campaign), actor=actor, reason=reason)
                if isinstance(sent, Round):
                    self.stdout.write(f"Round {sent.index} decides on {gate}.")
            if withdraw:
                gate_orders.withdraw(version=policy_called(withdraw, campaign), actor=actor)
            for order in gate_orders.waiting(loop):
                self.stdout.write(
                    f"{order.candidate.label} waits for the gate since {order.created_at:%Y-%m-%d %H:%M}."
                )
            if start:
                round = rounds.start_round(loop=loop, actor=actor)
                self.stdout.write(f"Round {round.index} has begun.")
        except (TrainingError, AnnotationError) as error:
            raise CommandError(str(error)) from None

    def _tell(self, loop: Loop) -> None:
        for one in of_loop(loop):
            self.stdout.write(
                f"Round {one.round.index}, {one.labels} labels before: agreed with people on {shown(one.chosen)} "
                f"chosen by {one.rule or 'no rule'}, and on {shown(one.audit)} of the audit slice."
            )


def policy_called(label: str, campaign: Campaign) -> ModelVersion:
    """Return the policy with this label; CommandError where there is none."""
    policies = ModelVersion.objects.filter(campaign=campaign, kind=ModelVersion.Kind.POLICY)
    found = next((one for one in policies if one.label == label), None)
    if found is None:
        raise CommandError(f"{campaign} has no policy called {label}. Name one such as policy-3.")
    return found


def shown(of: Share) -> str:
    """Return a share in words."""
    if of.estimate is None:
        return "none (no reward model, or nothing preferred)"
    return f"{of.estimate:.3f} ({of.low:.3f} to {of.high:.3f}) of {of.n}"
