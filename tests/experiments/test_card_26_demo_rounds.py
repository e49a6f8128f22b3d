"""Card 26: three rounds of forty judgements lift the demo's policy over its start, in the loop that newcomers meet.

Two campaigns go round at the same time over HTTP: one is worked by a simulated person of a known taste, who errs in a
tenth of the judgements, the other by one who throws a coin. Real workers sample, train and hold the gates. It takes
longer than other experiments, about five minutes on two idle cores, because 28 processes start, each with its model.
"""

from __future__ import annotations

import re
import threading
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from annotation.models import Campaign, User
from frontend import demo
from frontend.simulation import GoldRate
from tests.experiments.frame import Card
from tests.factories import make_campaign, make_user
from training import paths
from training.models import Round, Run
from training.recipes.demo_gold import DEMO_SETTINGS
from training.services import execution, rounds

CARD = Card(
    26,
    "Rounds with people on the demo campaign",
    "By the demo's own settings three rounds of 32 pairs and 8 blind comparisons, judged over HTTP by simulated people "
    "who like warm answers and err in a tenth, make a policy whose answers to held-out prompts are preferred to the "
    "first one's, by an interval that excludes a half; judgements by a coin make none.",
    "arXiv:2405.07863",
)
SEED = 23
ROUNDS, PAIRS, GATE_PAIRS = 3, 32, 8  # forty judgements a round
TASTE, ERROR_RATE, COIN = "warm", 0.1, 0.5


def keep_working(stop: threading.Event) -> None:
    """Do what a worker and the beat do, until told to stop."""
    try:
        while not stop.wait(0.3):
            rounds.advance_all()
            run = Run.objects.filter(state=Run.State.QUEUED).order_by("pk").first()
            if run is not None:
                execution.execute(run.pk)
    finally:
        connection.close()


def start_loop(name: str, lead: User) -> Campaign:
    """Return a campaign whose loop has the demo's settings, with its first round under way."""
    campaign = make_campaign(name, lead=lead, tasks=0)
    loop = rounds.create_loop(
        campaign=campaign,
        policy=paths.stored(demo.MODEL),
        prompts_path=paths.stored(demo.PROMPTS),
        settings=DEMO_SETTINGS | {"prompts_per_round": PAIRS, "gate_human_pairs": GATE_PAIRS},
        actor=lead,
    )
    rounds.start_round(loop=loop, actor=lead)
    return campaign


def simulate(campaign: Campaign, url: str, error_rate: float, told: dict[str, str]) -> None:
    """Have the campaign judged until its rounds have ended, keep what the command says, and end the loop's work."""
    out = StringIO()
    who = ["--campaign", campaign.name, "--url", url, f"--taste={TASTE}", f"--error-rate={error_rate}"]
    how = ["--annotators=1", f"--seed={SEED}", f"--prefix={campaign.name}", f"--rounds={ROUNDS}", "--held-out=64"]
    try:
        call_command("simulate", *who, *how, stdout=out)
    finally:
        told[campaign.name] = out.getvalue()
        for unfinished in Round.objects.filter(loop__campaign=campaign).exclude(state__in=Round.FINAL):
            rounds.cancel(round=unfinished, actor=None)
        connection.close()


def rate_of(told: str) -> GoldRate:
    """Return the last rate that was told; a half where the policy of the start is still in use."""
    last = [line for line in told.splitlines() if "the start" in line][-1]
    found = re.search(r"wins (\d+)% \[\d+%, \d+%\] over policy-0, the start, on (\d+) held-out prompts", last)
    return GoldRate(int(found[1]) / 100, int(found[2])) if found else GoldRate(0.5, 1)


@pytest.mark.experiment
@pytest.mark.django_db(transaction=True)
def test_three_rounds_of_forty_judgements_beat_the_start(live_server, report, capsys):
    lead = make_user("lena")
    told: dict[str, str] = {}
    arms = {"taste": ERROR_RATE, "coin": COIN}
    people = [
        threading.Thread(target=simulate, args=(start_loop(name, lead), live_server.url, errors, told))
        for name, errors in arms.items()
    ]
    stop = threading.Event()
    workers = [threading.Thread(target=keep_working, args=(stop,)) for _core in range(2)]
    for thread in (*people, *workers):
        thread.start()
    try:
        for thread in people:
            thread.join()
    finally:
        stop.set()
        for thread in workers:
            thread.join(60)
    with capsys.disabled():
        print("".join(f"\n{name}:\n{lines}" for name, lines in told.items()))
    assert Round.objects.filter(loop__campaign__name="taste", state__in=("promoted", "rejected")).count() >= ROUNDS
    rate = rate_of(told["taste"])
    low, high = rate.interval
    report(
        CARD,
        f"gold win rate over the start on {rate.pairs} held-out prompts",
        {"estimate": rate.rate, "low": low, "high": high},
        seeds=[SEED],
        switched_off="the taste: judgements by a coin",
        without=rate_of(told["coin"]).rate,
        at_least=0.63,
    )
    assert low > 0.5, told["taste"]
