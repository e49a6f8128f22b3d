"""Several tasks in one run: each kind of prompt has a recipe of its own, and one optimiser step serves them all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from training.recipes.assembled import assembled, has_slots
from training.recipes.base import Recipe, RecipeError, knob, knobs_of, part
from training.recipes.note import Note, note_of

OTHERS = "*"  # the prompts of every domain that is not named
FIELDS = ("domains", "recipe", "weight", "reward", "parts", "knobs")
EXAMPLE = '{"maths": {"recipe": "cgpo-crraft", "weight": 2}, "*": {"recipe": "cgpo-crpg"}}'


@dataclass(frozen=True)
class Task:
    """What is done with the prompts of some domains."""

    name: str
    domains: tuple[str, ...]
    recipe: Recipe
    knobs: dict[str, Any]
    weight: float  # of its mean gradient in a step
    reward: str  # the scorer that is climbed

    @property
    def scorers(self) -> tuple[str, ...]:
        """Return the names of the scorers that it asks, the one that is climbed first."""
        return (self.reward, *(name for name in self.recipe.scorers if name != "reward"))


@part("tasks", "mix", target="training.core.mixture:mixed")
class TaskMix:
    """A weighted sum of several recipes, each for prompts of its own domain. CGPO, arXiv:2409.20370, algorithm 2."""

    may_score: ClassVar[tuple[str, ...]] = ("gold", "cost", "audit", "principle")
    tasks: str = knob(
        '{"*": {"recipe": "cgpo-crpg"}}',
        "JSON: task to recipe, weight, reward, parts, knobs and domains, which is usually its name; * is all others",
    )

    def check(self, values: dict[str, Any]) -> None:
        """RecipeError where the tasks cannot be read."""
        tasks_of(values["tasks"])


HEAVIEST = 1e300  # weights are held against each other as floats


def tasks_of(text: str) -> list[Task]:
    """Return the tasks that a text describes; RecipeError, about the knob `tasks`, says what is wrong with it."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of too many digits, and brackets without end
        raise _wrong(
            Note("This is no JSON ({error}). Write it like this: {example}", error=error, example=EXAMPLE)
        ) from None
    if not isinstance(given, dict) or not given or not all(isinstance(one, dict) for one in given.values()):
        raise _wrong(Note("Name at least one domain with its recipe, like this: {example}", example=EXAMPLE))
    found = [_task(name, one) for name, one in given.items()]
    if shared := shared_domain(found):
        raise _wrong(shared)
    return found


def shared_domain(tasks: Sequence[Task]) -> Note | None:
    """Return that two tasks want prompts of one domain, which can be given to one of them alone; None if none do."""
    of: dict[str, str] = {}
    for task in tasks:
        for domain in task.domains:
            if domain in of:
                return Note(
                    "The prompts of {domain} are for {one} and {other}. Give them to one task.",
                    domain=domain,
                    one=of[domain],
                    other=task.name,
                )
            of[domain] = task.name
    return None


def _task(domain: str, given: dict[str, Any]) -> Task:
    if unknown := sorted(set(given) - set(FIELDS)):
        raise _wrong(
            Note(
                "{domain}: a task has no {names}. It has {fields}.",
                domain=domain,
                names=", ".join(unknown),
                fields=", ".join(FIELDS),
            )
        )
    domains = given.get("domains", [domain])
    if not isinstance(domains, list) or not domains or not all(isinstance(one, str) for one in domains):
        raise _wrong(Note("{domain}: domains is a list of at least one domain's name.", domain=domain))
    parts, knobs, weight = given.get("parts", {}), given.get("knobs", {}), given.get("weight", 1.0)
    if not isinstance(parts, dict) or not isinstance(knobs, dict):
        raise _wrong(Note("{domain}: parts and knobs are objects of names and values.", domain=domain))
    if not all(isinstance(one, str) for one in parts.values()):
        raise _wrong(Note("{domain}: parts and knobs are objects of names and values.", domain=domain))
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < HEAVIEST:
        raise _wrong(Note("{domain}: weight is a number above 0, not {weight}.", domain=domain, weight=repr(weight)))
    try:
        found = assembled(str(given.get("recipe", "")), parts)
        filled = found.fill(knobs)
    except RecipeError as error:
        raise _wrong(Note("{domain}: {error}", domain=domain, error=note_of(error))) from None
    if not has_slots(found):
        raise _wrong(
            Note(
                "{domain}: {recipe} does not learn from the policy's own answers. Choose one that does.",
                domain=domain,
                recipe=found.name,
            )
        )
    of_the_run = {k.name for k in knobs_of(found.part("trainer"))} - {"samples_per_prompt"}
    if shared := sorted(of_the_run & set(knobs)):
        raise _wrong(
            Note("{domain}: {names} holds for the whole run. Set it there.", domain=domain, names=", ".join(shared))
        )
    return Task(domain, tuple(domains), found, filled, float(weight), str(given.get("reward", "reward")))


def _wrong(message: Note) -> RecipeError:
    return RecipeError(message, {"tasks": [message]})
