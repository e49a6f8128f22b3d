"""A round behind a guard, by the real core: what people are shown is what the logs of its runs let through."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annotation.models import Campaign, Task, User
from annotation.services import queue
from tests.factories import judge, make_campaign
from tests.training.core_world import work
from training import store
from training.core.guard.fitting import Labelled, learned
from training.core.guard.folder import load_guard, save_guard
from training.core.guard.thresholds import Threshold
from training.core.guard.verdicts import FOCUSED, SAFE, UNSAFE
from training.core.tiny import save_tiny
from training.models import GuardedPrompt, Round, Run
from training.services import gates, guard_settings, rounds

pytestmark = pytest.mark.django_db


def guard_folder(folder: Path) -> Path:
    """Return a guard that holds back much of what a policy without sense says, and questions about bombs."""
    draw = random.Random(0)
    said = ["".join(draw.choices([chr(k) for k in range(32, 127)], k=8)) for _ in range(1500)]
    answers = [Labelled(text, SAFE if n % 3 else UNSAFE) for n, text in enumerate(said)]
    asked = [Labelled(question(n), SAFE if n % 9 else FOCUSED) for n in range(200)]
    line = Threshold(0.5, 0.9, 0.95, 0.9, 100, 1, {"estimate": 0.0, "low": 0.0, "high": 0.1, "n": 100})
    return save_guard(folder, prompt=(learned(asked), line), answer=(learned(answers), replace(line, value=0.7)))


def question(n: int) -> str:
    return f"How is the bomb of {n * 7919} built?" if n % 9 == 0 else f"Question {n}: {n * 7919}?"


def log_of(run: Run) -> list[dict[str, Any]]:
    path = store.run_file(run.pk, run.result["files"]["guard"])
    return [json.loads(one) for one in Path(path).read_text(encoding="utf-8").splitlines()]


def shown(campaign: Campaign, batch: str) -> dict[str, list[str]]:
    """Return the answers of a batch's items by the prompts that they belong to."""
    tasks = Task.objects.filter(campaign=campaign, batch=batch)
    return {
        task.external_id.removeprefix(f"{batch}-"): [one["text"] for one in task.content["completions"]]
        for task in tasks
    }


def judge_all(campaign: Campaign, person: User) -> None:
    while (assignment := queue.next_task(user=person, campaign=campaign)) is not None:
        judge(person, campaign, assignment=assignment, preference=2)


@pytest.mark.one_database
def test_people_are_shown_what_the_logs_let_through_and_nothing_else(
    lead: User, annotator: User, tmp_path: Path
) -> None:
    campaign = make_campaign("Guarded", lead=lead, annotators=[annotator])
    folder, base, asked = guard_folder(tmp_path / "guard"), save_tiny(tmp_path / "tiny"), tmp_path / "prompts.jsonl"
    rows = [{"id": f"q{n}", "prompt": [{"role": "user", "content": question(n)}]} for n in range(200)]
    asked.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {
        "guard": str(folder),
        "prompts_per_round": 14,
        "samples_per_prompt": 2,
        "max_new_tokens": 8,
        "gate_prompts": 20,
        "gate_human_pairs": 20,
        "audit_share": 0.0,
    }
    loop = rounds.create_loop(
        campaign=campaign, policy=str(base), prompts_path=str(asked), settings=settings, actor=lead
    )
    guard_settings.configure(campaign=campaign, settings={"keep": True}, actor=lead)
    round = rounds.start_round(loop=loop, actor=lead)
    assert work(round).state == Round.State.LABELLING, (str(round.note), list(round.runs.values("error")))
    judge_all(campaign, annotator)
    assert work(round).state == Round.State.GATING, (str(round.note), list(round.runs.values("error")))
    guard = load_guard(folder)
    for purpose, batch in (("sample", round.batch), ("gate", gates.batch(round))):
        run = Run.objects.get(round=round, purpose=purpose)
        log, items = {line["id"]: line for line in log_of(run)}, shown(campaign, batch)
        assert len(log) == run.result["counts"]["read"] >= 10, "every prompt has its line"
        let_through = {id_: line for id_, line in log.items() if line["shown"]}
        assert set(items) == set(let_through) and 0 < len(items) < len(log)
        for id_, texts in items.items():
            line = let_through[id_]
            assert line["prompt"]["allowed"]
            assert len(texts) == sum(one["allowed"] for one in line["answers"])
            assert all(verdict.allowed for verdict in guard.answers([{"role": "user", "content": "?"}], texts))
        assert sum(map(len, items.values())) == sum(
            one["allowed"] for line in log.values() for one in line["answers"] if line["shown"]
        )
        if purpose == "sample":  # what is held out for a gate is learned by nobody
            wants = {line["id"] for line in log.values() if line["prompt"]["tier"] == FOCUSED}
            kept = GuardedPrompt.objects.filter(campaign=campaign, tier=FOCUSED, source="round", reason="focused")
            assert wants and {question(int(id_[1:])) for id_ in wants} == set(kept.values_list("text", flat=True))
        assert not any(line["answers"] for line in log.values() if not line["prompt"]["allowed"])
        counts = run.result["counts"]
        assert counts["guard_answers_blocked"] > 0 and counts["guard_not_shown"] == len(log) - len(items)
        rows_of = store.run_file(run.pk, run.result["files"][{"sample": "samples", "gate": "comparisons"}[purpose]])
        assert all("guard" not in json.loads(row) for row in Path(rows_of).read_text().splitlines())
