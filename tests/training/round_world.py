"""A loop with a toy core for workers, and people who judge its rounds, for tests that drive it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from annotation.models import Campaign, Task, User
from annotation.services import queue
from tests.factories import judge
from training.models import Round, Run
from training.services import execution, rounds

TOY_CORE = [sys.executable, str(Path(__file__).with_name("toy_core.py"))]
SETTINGS = {
    "prompts_per_round": 10,
    "gate_prompts": 8,
    "gate_human_pairs": 5,
    "auto_continue": True,
    "replay": 0.5,
}


def work(round: Round, *more: str) -> None:
    """Let a worker bring every queued run of the round to its end."""
    for run in Run.objects.filter(round=round, state=Run.State.QUEUED):
        execution.execute(run.pk, command=[*TOY_CORE, *more])


def go(round: Round, *more: str) -> Round:
    """Advance the round, with workers, until it waits for people or ends."""
    for _ in range(20):
        before = _stand(round)
        rounds.advance_far(round.pk)
        work(round, *more)
        if _stand(round) == before:
            round.refresh_from_db()
            return round
    raise AssertionError(f"The round goes round in circles: {round.state}, {round.note}")


def _stand(round: Round) -> Any:
    return Round.objects.get(pk=round.pk).state, list(
        round.runs.order_by("pk").values_list("state", "attempts", "failures")
    )


def judge_all(campaign: Campaign, person: User, prefer: Callable[[Task], int], *, most: int = 10_000) -> int:
    """Let a person judge what is there; `prefer` says how much canonical completion 0 is better."""
    for number in range(most):
        assignment = queue.next_task(user=person, campaign=campaign)
        if assignment is None:
            return number
        judge(person, campaign, assignment=assignment, preference=prefer(assignment.task))
    return most


def first(task: Task) -> int:
    return 2


def for_candidate(task: Task) -> int:
    """Prefer the candidate's answer; in a round's own pairs prefer the first."""
    if task.meta.get("purpose") != "gate":
        return 2
    texts = [completion["text"] for completion in task.content["completions"]]
    return 3 if "+dpo" in texts[0] and texts[0].count("+dpo") > texts[1].count("+dpo") else -3


def to_the_gate(round: Round, campaign: Campaign, annotator: User, *more: str) -> Round:
    go(round, *more)
    judge_all(campaign, annotator, first)
    return go(round, *more)
