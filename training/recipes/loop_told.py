"""What a loop tells its recipes besides its own settings, with types: kept as text, and read as each recipe has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.recipes import engines, loop_knobs
from training.recipes.assembled import assembled
from training.recipes.base import RECIPES, Knob, Recipe, RecipeError
from training.recipes.rollouts import ROLLOUTS
from training.recipes.sampling import OF_ENSEMBLES
from training.recipes.slots import ORDER
from training.recipes.ways import COST, ENSEMBLE, TOLD


def kinds_of(recipe: Recipe | None) -> dict[str, type]:
    """Return of which kind each setting of a recipe is: bool, int, float or str."""
    return {knob.name: type(knob.default) for knob in (recipe.knobs() if recipe is not None else ())}


def kinds(settings: Mapping[str, Any]) -> dict[str, dict[str, type]]:
    """Return the same of what a loop with all these `settings` tells, by its setting; nothing of what is no recipe."""
    scores = ENSEMBLE if settings["selection"] in OF_ENSEMBLES else settings["reward_recipe"]
    return {
        "policy_settings": kinds_of(_candidate(settings)),
        "policy_parts": dict.fromkeys(ORDER, str),
        "dialogue_settings": kinds_of(ROLLOUTS),
        "engine_settings": dict(engines.free(settings["engine"])),
        "reward_settings": kinds_of(RECIPES.get(scores)),
        "cost_settings": kinds_of(RECIPES[COST]),
    }


def typed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a loop's `settings` with an object of typed values where it tells its recipes something."""
    by_setting = kinds(settings)
    found = dict(settings)
    for setting in TOLD:
        told = loop_knobs.read(settings[setting])
        found[setting] = {name: _typed(by_setting[setting].get(name, str), value) for name, value in told.items()}
    return found


def _candidate(settings: Mapping[str, Any]) -> Recipe | None:
    try:
        return assembled(settings["policy_recipe"], loop_knobs.read(loop_knobs.lines(settings["policy_parts"])))
    except RecipeError:
        return RECIPES.get(settings["policy_recipe"])


def _typed(kind: type, text: str) -> Any:
    """Return a value of this kind as its knob reads it; as the text that it is where the recipe has changed since."""
    try:
        return Knob("", kind(), "").check(text)
    except ValueError:
        return text
