"""Kill everything at random, a hundred times, while people judge and a model learns: ``python -m tests.faults``.

Simulated annotators judge over HTTP and a lead keeps a loop going with the real training core on the demo's model;
web server, workers, children of runs, broker and database (PostgreSQL and Valkey, real ones) are killed meanwhile and
started again. At the end: every acknowledged judgement is there exactly once, no item was given to too many people,
every run has finished or failed with a reason, and no process and no file is left that nobody knows of. It takes about
ten minutes, keeps everything in a folder below /tmp, and leaves that there when something was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.postgres import Server

ANNOTATORS = 6
ITEMS = 1_000
LOOP = {
    "prompts_per_round": 10,
    "samples_per_prompt": 2,
    "max_new_tokens": 16,
    "gate_prompts": 4,
    "gate_human_pairs": 2,
    "gate_minimum_win_rate": 0.0,
    "gate_maximum_kl": 1000.0,
    "epochs": 2,
    "reward_epochs": 2,
    "rejections_in_a_row": 100,
    "auto_continue": True,
}


def main() -> int:
    given = _arguments()
    # Short, because the broker's socket lies below it.
    home = Path(tempfile.mkdtemp(prefix="attune-faults-", dir="/tmp"))
    folder = Path(tempfile.mkdtemp(prefix="attune-pg-", dir="/tmp"))
    (home / "tmp").mkdir()
    database = Server(folder, durable=True)
    os.environ |= {
        "DATABASE_URL": database.url,
        "ATTUNE_HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "DJANGO_SETTINGS_MODULE": "frontend.settings",
        "OMP_NUM_THREADS": "1",
    }
    os.environ.pop("BROKER_URL", None)
    wrong = ["It broke off."]
    try:
        database.start()
        wrong = _test(given, home, database)
    finally:
        database.stop()
        if wrong:
            print(f"\n{len(wrong)} things are wrong; see {home}, and {folder} with the database:")
            print(*(f"  {one}" for one in wrong[:40]), sep="\n")
        else:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(home, ignore_errors=True)
            print("\nNothing is wrong.")
    return 1 if wrong else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="how many times something is killed")
    parser.add_argument(
        "--every", type=float, default=3.0, help="seconds that it stands before the next kill, on average"
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="after which nothing more is killed")
    parser.add_argument("--pace", type=float, default=0.4, help="seconds that a person thinks, on average")
    parser.add_argument("--patience", type=float, default=600.0, help="seconds for the last round, undisturbed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where the figures are written to")
    return parser.parse_args()


def _test(given: argparse.Namespace, home: Path, database: Server) -> list[str]:
    import django

    django.setup()
    from django.db import DatabaseError

    from tests.faults import checks
    from tests.faults.machines import Machines, wait_for
    from tests.faults.people import Client, Lead, Ledger, annotate

    dice = random.Random(given.seed)
    ledger, stop = Ledger(), threading.Event()
    machines = Machines(home, database)
    campaigns, tokens = _world()
    machines.start()
    lead = Lead(Client(machines.url, "lead", tokens.pop("lead"), ledger), campaigns[-1], stop)
    work = {"campaigns": campaigns, "stop": stop, "pace": given.pace}
    people = [
        threading.Thread(
            target=annotate, args=(Client(machines.url, name, token, ledger),), kwargs={**work, "seed": seed}
        )
        for seed, (name, token) in enumerate(tokens.items())
    ]
    people.append(threading.Thread(target=lead.lead))
    wrong: list[str] = []
    killed: Counter[str] = Counter()
    started = time.monotonic()
    for one in people:
        one.start()
    try:
        if not wait_for(lambda: len(ledger.acknowledged) > 20 and bool(lead.rounds), seconds=180):
            wrong.append("Nobody could work before anything was killed.")
        for number in range(given.kills if not wrong else 0):
            # Whoever is killed while nothing stands is killed in vain: the last kill has had its effect by then.
            if not wait_for(machines.is_up, seconds=180):
                wrong.append("It did not come up again within three minutes.")
                break
            if time.monotonic() - started > given.minutes * 60:
                print(f"{given.minutes} minutes are over.")
                break
            time.sleep(dice.uniform(0.25, 1.75) * given.every)
            name = machines.kill_something(dice)
            killed[name] += 1
            state = lead.rounds[-1]["state"] if lead.rounds else "none"
            print(
                f"{time.monotonic() - started:6.0f} s  {number + 1:3d} {name}; {len(ledger.acknowledged)} judgements, "
                f"round {len(lead.rounds)} {state}",
                flush=True,
            )
            with suppress(DatabaseError):
                wrong += checks.over_assigned()
            checks.reconnect()
            if ledger.faults:
                break
        lead.ending.set()
        calm = time.monotonic()
        if not wait_for(lambda: lead.is_done or bool(ledger.faults), seconds=given.patience):
            wrong.append(f"The last round did not end within {given.patience:.0f} s of calm: {lead.rounds[-1]}.")
        calm = time.monotonic() - calm
    finally:
        stop.set()
        for one in people:
            one.join()
        code = machines.stop()
    figures = _figures(killed, ledger, lead.rounds, time.monotonic() - started, calm, machines.starts)
    print(json.dumps(figures, indent=1))
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))
    if code != 0:
        wrong.append(f"serve ended with {code}.")
    wrong += [f"Left running: {one}." for one in machines.everything()]
    for check in (checks.judgements(ledger), checks.queue(), checks.training(), checks.files(home)):
        wrong += check
    wrong += ledger.faults
    return wrong


def _world() -> tuple[list[int], dict[str, str]]:
    """Make two campaigns, one of many items and one with a loop; return their numbers and everybody's token."""
    from django.core.management import call_command

    from annotation.models import Role, User
    from annotation.services import campaigns, intake, simulation
    from frontend import demo
    from training import paths
    from training.services import rounds

    call_command("migrate", verbosity=0)
    boss = User.objects.create_user("boss")
    many = campaigns.create(name="Many items", actor=boss, overlap=2)
    rows = [{"id": f"item-{n}", "prompt": f"Question {n}?", "completions": ["One.", "Two."]} for n in range(ITEMS)]
    intake.import_lines(campaign=many, lines=[json.dumps(row) for row in rows], actor=boss)
    loop = campaigns.create(name="Loop", actor=boss)
    rounds.create_loop(
        campaign=loop,
        policy=paths.stored(demo.MODEL),
        prompts_path=paths.stored(demo.PROMPTS),
        settings=LOOP,
        actor=boss,
    )
    tokens = {}
    for one in (many, loop):
        campaigns.open_campaign(campaign=one, actor=boss)
    for name in ["lead", *(f"person-{n}" for n in range(ANNOTATORS))]:
        for one in (many, loop):
            tokens[name] = simulation.enlist(
                campaign=one, name=name, role=Role.LEAD if name == "lead" else Role.ANNOTATOR
            )
    return [many.pk, loop.pk], tokens


def _figures(
    killed: Counter[str], ledger: Any, rounds: list[dict[str, Any]], seconds: float, calm: float, starts: int
) -> dict[str, Any]:
    from django.db.models import Sum

    from training.models import Run

    return {
        "kills": sum(killed.values()),
        "killed": dict(killed.most_common()),
        "seconds": round(seconds),
        "seconds_of_calm": round(calm),
        "starts_of_everything": starts,
        "judgements_acknowledged": len(ledger.acknowledged),
        "met_by_people": dict(ledger.counts.most_common()),
        "rounds": dict(Counter(one["state"] for one in rounds)),
        "runs": dict(Counter(Run.objects.values_list("state", flat=True))),
        "failures_of_runs": Run.objects.aggregate(n=Sum("failures"))["n"],
    }


if __name__ == "__main__":
    sys.exit(main())
