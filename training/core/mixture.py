"""Tasks of one run: prompts of each domain go through stages of their own, and all share the optimiser's step.

A run of an ordinary recipe is one task with all prompts. Legend: B completions, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from training.core.batch import LossOutput, Tokens, together
from training.core.health import figures
from training.core.job import Job, RunError
from training.core.prompts import Prompt
from training.core.rollout import Models, Rollout
from training.recipes.note import Note
from training.recipes.slots import check_slots
from training.recipes.tasks import OTHERS, tasks_of

# What the updates read, and so what a mixed rollout keeps; the rest is of the stages, which are over by then.
OF_TOKENS = ("logps", "reference_logps", "values", "advantages", "returns", "rival_reference_logps")
OF_ROWS = ("kl_weight", "step_scale")


@dataclass(frozen=True)
class Task:
    """The parts of one task, and the scorers that it asks, the one that is climbed first."""

    name: str  # empty where the run has one task alone
    parts: dict[str, Any]
    needs: frozenset[str]
    scorers: tuple[str, ...]
    samples: int
    weight: float = 1.0
    domains: tuple[str, ...] = ()  # whose prompts it has; empty: the one that is called as it


def tasks_in(job: Job, *, samples_per_prompt: int) -> list[Task]:
    """Return the tasks of a run; RunError where one asks a scorer that the run does not have."""
    parts = job.recipe.parts_with(job.knobs)
    names = sorted({*job.spec.scorers, *job.recipe.supplied}, key=lambda name: (name != "reward", name))
    if "tasks" in parts:
        return mixed(job, tasks=parts["tasks"].tasks)
    return [Task("", parts, check_slots(parts), tuple(names), samples_per_prompt)]


def mixed(job: Job, *, tasks: str) -> list[Task]:
    """Return the tasks that a text describes, see `tasks_of`. CGPO, arXiv:2409.20370, algorithm 2."""
    found = []
    for task in tasks_of(tasks):
        parts = task.recipe.parts_with(task.knobs)
        asked = task.scorers
        if missing := [name for name in asked if name not in job.spec.scorers]:
            raise RunError(
                Note(
                    "The task {task} asks the scorer {names}, which this run does not have.",
                    task=task.name,
                    names=", ".join(missing),
                )
            )
        samples = task.knobs["samples_per_prompt"]
        found.append(Task(task.name, parts, check_slots(parts), asked, samples, task.weight, task.domains))
    return found


def shared_out(tasks: Sequence[Task], prompts: Sequence[Prompt]) -> dict[str, list[Prompt]]:
    """Return the prompts of each task, by their domain; those of no task are left out."""
    if len(tasks) == 1 and not tasks[0].name:
        return {"": list(prompts)}
    found: dict[str, list[Prompt]] = {task.name: [] for task in tasks}
    of = {domain: task.name for task in tasks for domain in task.domains or (task.name,)}
    for prompt in prompts:
        name = of.get(prompt.domain, of.get(OTHERS))
        if name is not None:
            found[name].append(prompt)
    return found


def joined(rollouts: Mapping[str, Rollout], tasks: Sequence[Task], pad_id: int) -> Rollout:
    """Return one rollout of all tasks, each completion with its task and its weight.

    The weights of a task's completions sum to its share of all tasks' weights, however many were drawn and kept:
    averaging gradients over completions would let the task with the most prompts decide. They are in units in which a
    step's mean over any of the rows estimates Σ_l ρ_l g_l / Σ_l ρ_l, and the tasks' rows are spread evenly, so that
    mini-batches, which are taken in order, each hold some of every task. One task alone is returned as it is.
    """
    if len(tasks) == 1 and not tasks[0].name:
        return rollouts[""]
    there = [(number, task) for number, task in enumerate(tasks) if len(rollouts.get(task.name, ()))]
    some = [rollouts[task.name] for _, task in there]
    told: dict[str, float] = {}
    for task in tasks:
        if task.name in rollouts:
            told |= {f"{name} ({task.name})": value for name, value in rollouts[task.name].metrics.items()}
    if not some:
        return next(iter(rollouts.values())).told(**told)
    width = max(rollout.mask.shape[1] for rollout in some)

    def wide(values: Tensor, fill: float = 0.0) -> Tensor:
        return pad(values, (0, width - values.shape[1]), value=fill)

    def tokens(found: Tokens) -> Tokens:
        made = (wide(found.input_ids, pad_id), wide(found.attention_mask), wide(found.completion_mask, False))
        return Tokens(*made, found.pictures)

    of_tokens: dict[str, Any] = {}
    for name in OF_TOKENS:
        values = [getattr(rollout, name) for rollout in some]
        if any(value is not None for value in values):
            zeros = [torch.zeros(rollout.mask.shape, device=rollout.mask.device) for rollout in some]
            filled = [zero if value is None else value for value, zero in zip(values, zeros, strict=True)]
            of_tokens[name] = torch.cat([wide(value) for value in filled])
    device = some[0].mask.device
    of_rows: dict[str, Any] = {}
    for name in OF_ROWS:
        found = [getattr(rollout, name) for rollout in some]
        if any(values is not None for values in found):
            nothing = [torch.zeros(len(rollout), device=device) for rollout in some]
            of_rows[name] = torch.cat([zero if v is None else v for v, zero in zip(found, nothing, strict=True)])
    rival = None
    if any(rollout.rival is not None for rollout in some):  # a row without one stands in for its own
        rival = together([tokens(rollout.tokens if rollout.rival is None else rollout.rival) for rollout in some])
    rows, total = sum(map(len, some)), sum(task.weight for task in tasks)
    weights = [task.weight / total * rows / len(rollout) for (_, task), rollout in zip(there, some, strict=True)]
    whole = Rollout(
        prompts=tuple(prompt for rollout in some for prompt in rollout.prompts),
        texts=tuple(text for rollout in some for text in rollout.texts),
        tokens=together([tokens(rollout.tokens) for rollout in some]),
        group=torch.zeros(rows, dtype=torch.long, device=device),
        ended=torch.cat([rollout.ended for rollout in some]),
        entropy=torch.cat([wide(rollout.entropy) for rollout in some]),
        rival=rival,
        task=torch.cat([torch.full((len(r),), n, device=device) for (n, _), r in zip(there, some, strict=True)]),
        weight=torch.cat([torch.full((len(r),), w, device=device) for w, r in zip(weights, some, strict=True)]),
        metrics=told,
        **of_tokens,
        **of_rows,
    )
    places = torch.cat([(torch.arange(len(rollout)) + 0.5) / len(rollout) for rollout in some])
    return whole.rows(places.argsort(stable=True))


class MixedUpdate:
    """Each completion's loss by the update of its task, times the weight that `joined` gave it.

    The weight is in the loss and not beside it: the mean of a mini-batch would cancel it where all rows have the same.
    Within its task each completion weighs alike, also by an update whose losses are means over tokens.
    """

    def __init__(self, updates: Sequence[Callable[..., LossOutput]]) -> None:
        self.updates = updates

    def __call__(self, models: Models, rollout: Rollout) -> LossOutput:
        assert rollout.task is not None and rollout.weight is not None
        loss = torch.zeros(len(rollout), device=rollout.weight.device)
        metrics: dict[str, Tensor] = {}
        for number in rollout.task.unique().tolist():
            rows = (rollout.task == number).nonzero().flatten()
            out = self.updates[number](models, rollout.rows(rows.cpu()))
            loss = loss.index_add(0, rows, out.loss)
            for name, values in out.metrics.items():
                nothing = torch.full_like(loss.detach(), float("nan"))
                metrics[name] = metrics.get(name, nothing).index_copy(0, rows, values.float())
        return LossOutput(loss=rollout.weight * loss, weight=torch.ones_like(loss), metrics=metrics)


def figures_of(written: Mapping[str, Rollout], learned: Rollout) -> dict[str, float]:
    """Return how the policy is doing: each figure of each task with its name, and without one the mean over tasks."""
    if "" in written:
        return figures(written[""]) | learned.metrics
    found: dict[str, list[float]] = {}
    told = {f"{name} ({task})": value for task, rollout in written.items() for name, value in figures(rollout).items()}
    told |= learned.metrics
    for name, value in told.items():
        found.setdefault(name.rsplit(" (", 1)[0], []).append(value)
    return {name: sum(values) / len(values) for name, values in found.items()} | told
