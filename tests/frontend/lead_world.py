"""A campaign with runs, models and rounds, made through the services; only what a GPU would write is written here."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.forms import BaseForm
from django.test import Client
from django.utils import timezone

from annotation.models import Campaign, User
from annotation.services import queue
from tests.factories import judge, loaf, make_campaign, make_user
from training import paths
from training.models import Loop, ModelVersion, Round, Run, Suite
from training.services import orders, prompts, rounds, runs, snapshots, versions


@dataclass
class World:
    lead: User
    annotator: User
    reviewer: User
    engineer: User
    stranger: User
    admin: User
    campaign: Campaign
    clients: dict[str, Client] = field(default_factory=dict)

    def client(self, name: str) -> Client:
        """Return a browser in which this person is signed in."""
        if name not in self.clients:
            self.clients[name] = Client(raise_request_exception=True)
            self.clients[name].force_login(getattr(self, name))
        return self.clients[name]


def make_world(*, tasks: int = 6, **options: Any) -> World:
    """Return a campaign with its people; `options` are those of `make_campaign`."""
    lead, annotator, reviewer, engineer = (make_user(name) for name in ("lena", "amir", "rosa", "erin"))
    people = {"annotators": [annotator], "reviewers": [reviewer], "engineers": [engineer]}
    campaign = make_campaign("Bread questions", lead=lead, tasks=tasks, **people, **options)
    root = make_user("root", is_superuser=True)
    return World(lead, annotator, reviewer, engineer, make_user("mallory"), root, campaign)


def judge_all(world: World, preference: int = 2) -> None:
    while (assignment := queue.next_task(user=world.annotator, campaign=world.campaign)) is not None:
        judge(world.annotator, world.campaign, assignment=assignment, preference=preference, active_seconds=10)


def write_curve(run: Run, steps_done: int, *, total: int = 40) -> list[dict[str, Any]]:
    """Write what a child would have written after so many steps, and return its metrics."""
    folder = paths.run_folder(run.pk)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "step": step,
            "total_steps": total,
            "time": 1000.0 + step,
            "loss": 0.7 * math.exp(-step / 50),
            "accuracy": 0.5 + step / 100,
            "tokens_per_second": 1234.0,
        }
        for step in range(1, steps_done + 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "log.txt").write_text("loading\nstep 1\n<b>not markup</b>\n")
    return rows


def start_run(world: World, *, recipe: str = "bradley-terry") -> Run:
    """Return a queued run on a snapshot of the judgements there are."""
    snapshot = snapshots.freeze(campaign=world.campaign, view="pairs", filters={}, actor=world.lead)
    return runs.create(
        campaign=world.campaign,
        recipe=recipe,
        knobs={},
        actor=world.lead,
        snapshot=snapshot,
        inputs={"model": "org/base"},
    )


def set_running(run: Run, *, step: int = 10) -> Run:
    progress = {**write_curve(run, step)[-1], "eta_seconds": 90.0}
    now = timezone.now()
    Run.objects.filter(pk=run.pk).update(
        state=Run.State.RUNNING, step=step, total_steps=40, progress=progress, started_at=now, heartbeat_at=now
    )
    run.refresh_from_db()
    return run


def finish_run(run: Run, *, metrics: dict[str, Any] | None = None, files: dict[str, str] | None = None) -> Run:
    """Return the run, succeeded, with the model version its recipe makes."""
    metrics = metrics or {"eval_accuracy": {"estimate": 0.7, "low": 0.6, "high": 0.8, "n": 100}}
    write_curve(run, 40)
    makes = {"bradley-terry": "reward", "dpo": "policy"}.get(run.recipe["name"])
    output = None
    if makes:
        parent = run.parent if run.parent is not None and run.parent.kind == makes else None
        path = f"runs/{run.pk}/model"
        output = versions.add(campaign=run.campaign, kind=makes, path=path, parent=parent, run=run, metrics=metrics)
    now = timezone.now()
    result = {"metrics": metrics, "files": files or {}, "counts": {"kept": 5}, "notes": ["Two rows were cut."]}
    Run.objects.filter(pk=run.pk).update(
        state=Run.State.SUCCEEDED,
        output=output,
        step=40,
        total_steps=40,
        started_at=now,
        finished_at=now,
        result=result,
    )
    run.refresh_from_db()
    return run


def write_prompts(folder: Path, count: int = 120) -> str:
    path = folder / "prompts" / "bread.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ({"id": f"p{n}", "prompt": [{"role": "user", "content": loaf(n)}]} for n in range(count))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "prompts/bread.jsonl"


def make_loop(world: World, **settings: Any) -> Loop:
    values = {"prompts_per_round": 6, "gate_prompts": 6, "gate_human_pairs": 6, **settings}
    return rounds.create_loop(
        campaign=world.campaign,
        policy="org/small-model",
        prompts_path=write_prompts(paths.files()),
        settings=values,
        actor=world.lead,
    )


def to_labelling(world: World, loop: Loop) -> Round:
    """Return the loop's present round, a new one if there is none, with its pairs in the queue."""
    round = loop.rounds.exclude(state__in=Round.FINAL).first() or rounds.start_round(loop=loop, actor=world.lead)
    rounds.advance(round.pk)
    run = orders.run_of(round, "sample")
    assert run is not None
    chosen = prompts.choose(loop, index=round.index, count=6)
    rows = []
    for number, (name, messages) in enumerate(chosen.items()):
        texts = (f"Warmly, with care. {round.index}.{number}", f"Bake it. {round.index}.{number}")
        answers = [{"text": text, "scores": {}, "logp": -9.0, "tokens": 5, "ended": True} for text in texts]
        rows.append({"id": name, "prompt": messages, "completions": answers, "pair": [0, 1], "audit": number == 0})
    _write_output(run, "samples.jsonl", rows)
    finish_run(
        run, metrics={"length": {"estimate": 5.0, "low": 4.0, "high": 6.0, "n": 6}}, files={"samples": "samples.jsonl"}
    )
    rounds.advance(round.pk)
    round.refresh_from_db()
    return round


def to_end(world: World, round: Round, *, candidate_wins: bool) -> Round:
    """Return the round, judged, trained and decided by people who all prefer one side."""
    judge_all(world)
    for _ in range(6):
        rounds.advance(round.pk)
        for purpose in ("reward", "policy"):
            run = orders.run_of(round, purpose)
            if run is not None and run.state == Run.State.QUEUED:
                finish_run(run)
    round.refresh_from_db()
    assert round.state == Round.State.GATING, str(round.note)
    run = orders.run_of(round, "gate")
    assert run is not None
    chosen = prompts.choose_held_out(round.loop, index=round.index, count=6, models=[]).chosen
    rows = [
        {
            "id": name,
            "prompt": messages,
            "candidate": {"text": f"New answer {number}"},
            "current": {"text": f"Old answer {number}"},
            "reward_preference": 0.5,
        }
        for number, (name, messages) in enumerate(chosen.items())
    ]
    _write_output(run, "comparisons.jsonl", rows)
    kl = {"kl": {"estimate": 7.3, "low": 5.9, "high": 8.8, "n": 20}}
    finish_run(run, metrics=kl, files={"comparisons": "comparisons.jsonl"})
    rounds.advance(round.pk)
    while (assignment := queue.next_task(user=world.annotator, campaign=world.campaign)) is not None:
        side = 2 if (assignment.task.meta["candidate"] == 0) == candidate_wins else -2
        judge(world.annotator, world.campaign, assignment=assignment, preference=side)
    rounds.advance(round.pk)
    round.refresh_from_db()
    return round


def _write_output(run: Run, name: str, rows: list[dict[str, Any]]) -> None:
    folder = paths.run_folder(run.pk)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def as_sent(form: BaseForm) -> dict[str, str]:
    """Return what a browser sends when nobody changes anything: an unticked box is left out, a 0 is not."""
    values = {name: form[name].value() for name in form.fields}
    return {name: str(value) for name, value in values.items() if value is not None and value is not False}


def policy_of(world: World) -> ModelVersion:
    found = versions.current(world.campaign, ModelVersion.Kind.POLICY)
    assert found is not None
    return found


def keep_suite(world: World) -> Suite:
    """Return a safety suite of the campaign, kept without its file."""
    values = {"name": "Lab safety", "questions": 12, "with_image": 1, "categories": {"Acids": 8, "Fire": 4}}
    return Suite.objects.create(campaign=world.campaign, path="suites/lab.jsonl", created_by=world.lead, **values)
