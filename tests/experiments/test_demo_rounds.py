"""Three rounds of forty judgements lift the demo's policy over its start: the online loop by its public interface.

Simulated people of a known taste, who err in a tenth of their judgements, work the campaign over HTTP as `simulate` has
them do; real workers sample, train and hold the gates. Run with
``pytest -m experiment tests/experiments/test_demo_rounds.py -s``; about ten minutes on two idle cores.
"""

from __future__ import annotations

import re
import threading
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from frontend import demo
from tests.factories import make_campaign, make_user
from training import paths
from training.models import Round, Run
from training.recipes.demo_gold import DEMO_SETTINGS
from training.services import execution, rounds

ROUNDS, PAIRS, GATE_PAIRS = 3, 32, 8  # forty judgements a round


def keep_working(stop: threading.Event) -> None:
    """Do what workers and the beat do, until told to stop."""
    try:
        while not stop.wait(0.5):
            for round_id in Round.objects.exclude(state__in=Round.FINAL).values_list("pk", flat=True):
                rounds.advance(round_id)
            for run_id in Run.objects.filter(state=Run.State.QUEUED).order_by("pk").values_list("pk", flat=True):
                execution.execute(run_id)
    finally:
        connection.close()


@pytest.mark.experiment
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("taste", "recipe"), [("warm", "dpo"), ("short", "dpo")])
def test_three_rounds_of_forty_judgements_beat_the_start(live_server, taste, recipe, capsys):
    lead = make_user("lena")
    campaign = make_campaign("Shape", lead=lead, tasks=0)
    loop = rounds.create_loop(
        campaign=campaign,
        policy=paths.stored(demo.MODEL),
        prompts_path=paths.stored(demo.PROMPTS),
        settings=DEMO_SETTINGS | {"policy_recipe": recipe, "prompts_per_round": PAIRS, "gate_human_pairs": GATE_PAIRS},
        actor=lead,
    )
    rounds.start_round(loop=loop, actor=lead)
    stop, out = threading.Event(), StringIO()
    worker = threading.Thread(target=keep_working, args=(stop,))
    worker.start()
    who = ["--campaign", campaign.name, "--url", live_server.url, "--taste", taste, "--error-rate=0.1", "--seed=23"]
    try:
        call_command("simulate", *who, f"--rounds={ROUNDS}", "--held-out=64", stdout=out)
    finally:
        stop.set()
        worker.join(600)
    told = out.getvalue()
    with capsys.disabled():
        print(f"\n{taste}, {recipe}:\n{told}")
    assert len(re.findall(r"^round \d", told, re.M)) == ROUNDS
    low = [int(found) for found in re.findall(r"wins \d+% \[(\d+)%, \d+%\] over policy-0, the start", told)]
    assert low and low[-1] > 50, told
