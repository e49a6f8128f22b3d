"""What a sample run wrote becomes completions, their samples, and tasks in the queue."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from annotation.errors import Invalid
from annotation.messages import from_columns
from annotation.models import Task, User
from annotation.services import intake
from annotation.told import Told, told, told_many
from training import store
from training.errors import TrainingError
from training.models import Round, Run, Sample
from training.services import assigned

# Above imported items, so that the new policy's answers come next; the gate's pairs come before both.
ROUND_PRIORITY = 5


@dataclass
class Accepted:
    tasks: int = 0  # in the batch now, whether made now or by an earlier attempt
    identical: int = 0  # prompts for which the policy gave the same answer every time
    refused: int = 0  # prompts whose answers people could not judge, such as an empty one
    audit: int = 0
    labelled: int = 0  # pairs that a model labelled, which are nobody's task
    absent: int = 0  # prompts answered as somebody who has left since
    doubtful: int = 0  # pairs that people judge because that model is not certain of them
    unasked: int = 0  # prompts whose pair the selection values less than those that people are asked about

    @property
    def note(self) -> Told:
        """Return for the lead what became of the prompts."""
        note = told_many(
            "{n} pair waits for judgements, {audit} of them drawn at random for measuring only.",
            "{n} pairs wait for judgements, {audit} of them drawn at random for measuring only.",
            self.tasks,
            audit=self.audit,
        )
        if self.labelled:
            note = told_many("A model labelled {n} pair.", "A model labelled {n} pairs.", self.labelled)
            if self.doubtful:
                note += told_many(
                    "{n} pair that it is not certain of waits for people.",
                    "{n} pairs that it is not certain of wait for people.",
                    self.doubtful,
                )
            if self.audit:
                note += told_many(
                    "{n} pair drawn at random waits for people, for measuring only.",
                    "{n} pairs drawn at random wait for people, for measuring only.",
                    self.audit,
                )
        if self.identical:
            note += told_many(
                "For {n} prompt all answers were the same.",
                "For {n} prompts all answers were the same.",
                self.identical,
            )
        if self.refused:
            note += told_many(
                "For {n} prompt an answer could not be shown, such as an empty one.",
                "For {n} prompts an answer could not be shown, such as an empty one.",
                self.refused,
            )
        if self.absent:
            note += told_many(
                "{n} prompt was answered for somebody who is given nothing here any more.",
                "{n} prompts were answered for people who are given nothing here any more.",
                self.absent,
            )
        if self.unasked:
            note += told_many(
                "{n} prompt is not asked about: the selection expects less of it.",
                "{n} prompts are not asked about: the selection expects less of them.",
                self.unasked,
            )
        return note


def accept(*, round: Round, run: Run, overlap: int) -> Accepted:
    """Return what the sample run of a round brought: one task for each prompt with two different answers.

    Where a model labels, the audit slice makes tasks and what that model doubts; the others that are asked about it
    labels.
    Repeatable: tasks have the round and the prompt in their external id, samples are unique per round.
    """
    accepted = Accepted()
    settings = {**run.recipe["knobs"], "seed": run.seed}
    by_model = settings.get("labeller", "human") != "human"
    accepted.labelled = run.result["counts"].get("labelled", 0) if by_model else 0
    there = assigned.members(round.loop.campaign)
    for row in output_rows(run, "samples"):
        if row["pair"] is None:
            accepted.identical += 1
            continue
        if not row.get("asked", True):
            accepted.unasked += 1
            continue
        doubtful = by_model and bool(row.get("doubtful"))
        if by_model and not row["audit"] and not doubtful:
            continue
        if row.get("user") and row["user"] not in there:
            accepted.absent += 1
            continue
        answers = [row["completions"][position] for position in row["pair"]]
        try:
            task = _task(round, row, answers, overlap, assignee=there.get(row.get("user", "")))
        except Invalid:
            accepted.refused += 1
            continue
        _record(round, task, answers, settings)
        accepted.tasks += 1
        accepted.audit += bool(row["audit"])
        accepted.doubtful += doubtful
    return accepted


def _task(
    round: Round, row: dict[str, Any], answers: list[dict[str, Any]], overlap: int, *, assignee: User | None
) -> Task:
    rule = row.get("selection", "") + (", doubted" if row.get("doubtful") else "")
    task, _ = intake.make_task(
        campaign=round.loop.campaign,
        messages=from_columns(row),
        completions=[(answer["text"], round.policy.label) for answer in answers],
        external_id=f"{round.batch}-{row['id']}",
        wanted=overlap if assignee is None else 1,
        assignee=assignee,
        priority=ROUND_PRIORITY,
        is_audit=bool(row["audit"]),
        batch=round.batch,
        meta={"round": round.index, "policy": round.policy.label, "selection": rule},
    )
    return task


def _record(round: Round, task: Task, answers: list[dict[str, Any]], settings: dict[str, Any]) -> None:
    stored = task.task_completions.order_by("position").values_list("completion_id", flat=True)
    Sample.objects.bulk_create(
        [
            Sample(
                completion_id=completion,
                version=round.policy,
                round=round,
                scores=answer.get("scores", {}),
                logp=answer.get("logp"),
                settings=settings,
            )
            for completion, answer in zip(stored, answers, strict=True)
        ],
        ignore_conflicts=True,
    )


def output_rows(run: Run, name: str) -> Iterator[dict[str, Any]]:
    """Return the rows of the file that `run` left under `name`, one at a time; TrainingError when there is none."""
    file_name = run.result.get("files", {}).get(name)
    path = None if file_name is None else store.run_file(run.pk, file_name)
    if path is None or not path.exists():
        raise TrainingError(
            told("{run} left no file of {name}. Look at its log, then try it again.", run=run.told, name=name)
        )
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
