"""Work a campaign with simulated annotators, through the public HTTP interface of a running server."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.feedback.strengths import USUAL
from annotation.models import Campaign, Role
from annotation.services import simulation
from frontend.simulation import LOOK_SECONDS, Annotator, Client, Gold, Shift, Unreachable, Yardstick, gold_rate, work
from training.recipes.demo_gold import TASTES, gold

FINAL = ("promoted", "rejected", "cancelled")


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--campaign", required=True, help="name or number of an open pairwise campaign")
        parser.add_argument("--annotators", type=int, default=3, help="how many work at the same time")
        parser.add_argument("--judgements", type=int, help="stop after so many in all; default: until no item is left")
        parser.add_argument("--rounds", type=int, default=0, help="go on until so many rounds of the loop have ended")
        parser.add_argument(
            "--held-out",
            type=int,
            default=64,
            help="after each round, held-out prompts on which its policy is compared with the first one; 0 for none",
        )
        parser.add_argument("--taste", default="warm", help="what they like: a taste of training.recipes.demo_gold")
        parser.add_argument("--error-rate", type=float, default=0.1, help="share of judgements with the sides swapped")
        parser.add_argument("--noise", type=float, default=0.0, help="Bradley-Terry temperature in units of gold value")
        parser.add_argument("--pace", type=float, default=0.0, help="seconds of thought per item")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--prefix", default="simulated", help="of the names of the accounts")
        parser.add_argument("--url", default="http://127.0.0.1:8000")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 0 <= options["error_rate"] <= 0.5:
            raise CommandError("--error-rate must be from 0 to 0.5; above that they would prefer the opposite.")
        if not 0 <= options["held_out"] <= 1000:
            raise CommandError("--held-out must be from 0 to 1000.")
        if options["annotators"] < 1:
            raise CommandError("--annotators must be at least 1.")
        campaign = _campaign(options["campaign"])
        if campaign.kind != "pairwise" or not campaign.is_open:
            raise CommandError(f"“{campaign}” must be an open campaign of pairs; it is {campaign.state}.")
        if campaign.options.get("degrees", USUAL) != USUAL:
            raise CommandError(f"“{campaign}” has a scale of eight points; simulated people know the one of seven.")
        if options["taste"] not in TASTES:
            raise CommandError(f"There is no taste {options['taste']}; there are: {', '.join(TASTES)}.")
        taste: Gold = partial(gold, taste=options["taste"])
        try:
            clients = [
                Client(
                    options["url"],
                    simulation.enlist(campaign=campaign, name=f"{options['prefix']}-{n + 1}", role=Role.ANNOTATOR),
                )
                for n in range(options["annotators"])
            ]
            watcher = Client(
                options["url"],
                simulation.enlist(campaign=campaign, name=f"{options['prefix']}-engineer", role=Role.ENGINEER),
            )
        except ValueError as error:
            raise CommandError(str(error)) from error
        shift = Shift(options["judgements"])
        annotator = Annotator(taste, options["error_rate"], options["noise"])
        threads = [
            threading.Thread(
                target=work,
                args=(client,),
                kwargs={
                    "campaign_id": campaign.pk,
                    "annotator": annotator,
                    "shift": shift,
                    "seed": f"{options['seed']}/{n}",
                    "wait": LOOK_SECONDS if options["rounds"] else None,
                    "pace": options["pace"],
                },
                daemon=True,
            )
            for n, client in enumerate(clients)
        ]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        try:
            if options["rounds"]:
                yardstick = Yardstick(watcher, campaign.pk, taste, options["held_out"])
                self._watch(yardstick, shift, rounds=options["rounds"])
            else:
                while any(thread.is_alive() for thread in threads):
                    time.sleep(0.1)
        except KeyboardInterrupt:
            self.stdout.write("Stopping after the items at hand.")
        except Unreachable as error:
            shift.failure = str(error)
        finally:
            shift.stopped.set()
            for thread in threads:
                thread.join(10)
        if shift.failure:
            raise CommandError(shift.failure)
        seconds = time.monotonic() - started
        self.stdout.write(f"{shift.done} judgements by {len(clients)} simulated people in {seconds:.0f} s.")

    def _watch(self, yardstick: Yardstick, shift: Shift, *, rounds: int) -> None:
        """Print one line per round that ends; return after so many, or when the loop needs a lead."""
        watcher, campaign_id = yardstick.client, yardstick.campaign_id
        known = {
            round_["id"]
            for round_ in watcher.pages(f"training/campaigns/{campaign_id}/rounds/")
            if round_["state"] in FINAL
        }
        start = yardstick.in_use() if yardstick.prompts else None
        ended = 0
        while not shift.stopped.wait(LOOK_SECONDS):
            listed = sorted(watcher.pages(f"training/campaigns/{campaign_id}/rounds/"), key=lambda r: r["index"])
            for round_ in listed:
                if round_["id"] in known or round_["state"] not in FINAL:
                    continue
                known.add(round_["id"])
                ended += 1
                self.stdout.write(self._line(yardstick, round_))
                if start is not None:
                    self.stdout.write(self._against_the_start(yardstick, start, shift))
                self.stdout.flush()
            if ended >= rounds:
                return
            if listed and listed[-1]["state"] in FINAL:
                loop = watcher.call("GET", f"training/campaigns/{campaign_id}/loop/")
                if loop["state"] == "paused":
                    self.stdout.write("The loop is paused: start its next round on the campaign's loop page.")
                    return
            if listed and listed[-1]["state"] == "stalled":
                self.stdout.write(f"Round {listed[-1]['index']} is stalled: {listed[-1]['note']}")
                return

    def _line(self, yardstick: Yardstick, round_: dict[str, Any]) -> str:
        index, watcher, taste = round_["index"], yardstick.client, yardstick.gold
        asked = watcher.pages(f"campaigns/{yardstick.campaign_id}/tasks/?batch=round-{index}")
        values = [taste(task["prompt"], answer["text"]) for task in asked for answer in task["completions"]]
        line = f"round {index}: {round_['state']}"
        if values:
            line += f"; gold value of its {len(values)} answers {sum(values) / len(values):+.2f}"
        gate = watcher.pages(f"campaigns/{yardstick.campaign_id}/tasks/?batch=round-{index}-gate")
        rate = gold_rate(gate, taste)
        if rate:
            line += f"; by the gold preference the new policy wins {rate} of {rate.pairs} gate pairs"
        return line

    def _against_the_start(self, yardstick: Yardstick, start: dict[str, Any], shift: Shift) -> str:
        found = yardstick.measure(start, stopped=shift.stopped)
        if found is None:
            return f"  {start['label']}, which was there at the start, is still in use"
        now, rate = found
        return f"  {now['label']} wins {rate} over {start['label']}, the start, on {rate.pairs} held-out prompts"


def _campaign(name: str) -> Campaign:
    found = Campaign.objects.kept().filter(name=name).first()
    if found is None and name.isdecimal() and len(name) < 19:
        found = Campaign.objects.kept().filter(pk=int(name)).first()
    if found is None:
        names = ", ".join(f"“{campaign}”" for campaign in Campaign.objects.kept().order_by("name")[:20]) or "none"
        raise CommandError(f"There is no campaign “{name}”; there are: {names}.")
    return found
