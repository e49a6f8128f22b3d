"""What a loop's settings say of the models that its rounds train: by which recipes, parts and scores."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from training.recipes import loop_knobs
from training.recipes.assembled import assembled, has_slots
from training.recipes.base import Recipe
from training.recipes.principles import listed
from training.recipes.sampling import OF_ENSEMBLES
from training.recipes.slots import check_slots
from training.recipes.tasks import Task, tasks_of
from training.recipes.ways import ASKS, ENSEMBLE, OF_ONE_OPINION, OF_RULES, OF_TASKS, REFUEL

if TYPE_CHECKING:
    from training.recipes.loop import LoopSettings


def reward_recipe(settings: LoopSettings) -> str:
    """Return the recipe by which a round trains its reward model."""
    return ENSEMBLE if settings.selection in OF_ENSEMBLES else settings.reward_recipe


def parts_of(settings: LoopSettings, scores: Collection[str] = ()) -> dict[str, str]:
    """Return what a candidate's recipe has in its slots besides the usual parts, in a round that has these `scores`."""
    parts = {}
    # A recipe of one opinion goes by the mean of several principles, as the model's own score does.
    if len(listed(settings.principles)) > 1 and settings.policy_recipe in OF_ONE_OPINION:
        parts["combine"] = "mean"
    if settings.policy_recipe in OF_RULES and "cost" in scores:
        parts["constrain"] = "judges"
    return parts | loop_knobs.read(settings.policy_parts)


def candidate(settings: LoopSettings, scores: Collection[str] = ()) -> Recipe:
    """Return the recipe by which a candidate learns, with its parts, in a round that has these `scores`."""
    return assembled(settings.policy_recipe, parts_of(settings, scores))


def mixed(settings: LoopSettings) -> list[Task]:
    """Return the tasks that a candidate learns; none where it learns by one recipe. RecipeError about `tasks`."""
    return tasks_of(settings.tasks) if settings.policy_recipe in OF_TASKS else []


def wants_judge(settings: LoopSettings) -> bool:
    """Return whether a candidate cannot learn as the settings say but from a judge that reads two answers."""
    return compares(settings) or settings.judge_against != "reference"


def compares(settings: LoopSettings) -> bool:
    """Return whether a candidate's recipe itself learns from comparisons of answers."""
    learned = [task.recipe for task in mixed(settings)] or [candidate(settings)]
    return any(
        has_slots(found) and "comparisons" in check_slots({part.slot: part for part in found.parts})
        for found in learned
    )


def branches(settings: LoopSettings) -> bool:
    """Return whether a candidate learns from dialogues that the policy in use branches, scored by the reward model."""
    return settings.policy_recipe == REFUEL and settings.dialogue_turns > 0


def trains_cost(settings: LoopSettings) -> bool:
    """Return whether each round of a loop with these settings trains a cost model."""
    return settings.refresh_cost and "cost" in asked(settings)


def asked(settings: LoopSettings) -> tuple[str, ...]:
    """Return the names of the scores that a candidate learns from, also those that a knob weighs by name."""
    if tasks := mixed(settings):
        return tuple(dict.fromkeys(name for task in tasks for name in task.scorers))
    found = candidate(settings)
    knobs = found.fill(loop_knobs.read(settings.policy_settings))
    weighed = ",".join(knobs.get(name, "") for name in ("score_weights", "weights")).split(",")
    named = {one.partition("=")[0].strip() for one in weighed}
    scored = ("reward",) if branches(settings) else ()
    return tuple(dict.fromkeys([*found.scorers, *scored, *(name for name in ASKS if name in named)]))
