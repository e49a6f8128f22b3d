"""What a loop tells the recipes of its runs besides its own settings: knobs and parts, one “name = value” a line."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from training.recipes.assembled import assembled
from training.recipes.base import Recipe, RecipeError
from training.recipes.note import Note, note_of

EXAMPLE = "lora_rank = 16"
# Knobs of a candidate's recipe that settings of the loop decide, and which.
OF_CANDIDATE = {
    "learning_rate": "learning_rate",
    "batch_size": "batch_size",
    "epochs": "epochs",
    "iterations": "iterations",
    "beta": "beta",
    "temperature": "temperature",
    "max_new_tokens": "max_new_tokens",
    "principles": "principles",
    "tasks": "tasks",
    "judge_against": "judge_against",
    "cost_limit": "gate_cost_limit",
    "judged_cost": "gate_cost_limit",
    "delta": "gate_delta",
    "test_prompts": "gate_prompts",
}
OWN_AT_ZERO = frozenset({"learning_rate", "batch_size", "epochs", "iterations", "beta"})
# The same of the run that branches dialogues for a candidate.
OF_ROLLOUTS = {
    "turns": "dialogue_turns",
    "temperature": "temperature",
    "max_new_tokens": "max_new_tokens",
    "principles": "principles",
}
# The same of what trains the models that score.
OF_SCORING = {"learning_rate": "reward_learning_rate", "epochs": "reward_epochs"}


def lines(value: Any) -> Any:
    """Return an object of names and values, or the JSON of one, as lines; a text with one kind of line end.

    RecipeError names a value of the object that is no line, as a part of it would be read as another setting.
    """
    given = value
    if isinstance(given, str) and given.lstrip().startswith("{"):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            return value  # as lines it is refused, and quoted
    if isinstance(given, Mapping):
        for name, one in given.items():
            if "=" in name or len(f"{name} = {one}".splitlines()) > 1:
                raise RecipeError(Note("Write {name} and its value on one line, without = in the name.", name=name))
        return "\n".join(f"{name} = {one}" for name, one in given.items())
    return "\n".join(given.splitlines()) if isinstance(given, str) else given


def read(text: str) -> dict[str, str]:
    """Return what lines say, by name; RecipeError names one that says nothing, or says it again."""
    found: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, equals, value = (one.strip() for one in line.partition("="))
        if not (name and equals):
            raise RecipeError(
                Note("Write one setting a line, such as {example}, not {line}.", example=EXAMPLE, line=line)
            )
        if name in found:
            raise RecipeError(Note("{name} is set twice. Leave one of them out.", name=name))
        found[name] = value
    return found


def against_parts(recipe: str, parts: str, *, asks: Collection[str]) -> list[str]:
    """Return what stands against the parts that a loop, which can give the scores `asks`, puts into `recipe`."""
    try:
        found = assembled(recipe, read(parts))
    except RecipeError as error:
        return _named(error)
    lacking = [name for name in found.scorers if name not in asks]
    if not lacking:
        return []
    return [
        Note(
            "{recipe} would ask {names} then, and a loop has {asks} to ask. Choose another part.",
            recipe=recipe,
            names=", ".join(lacking),
            asks=", ".join(asks),
        )
    ]


def against(recipe: str, told: str, parts: str = "", *, decided: Mapping[str, str]) -> list[str]:
    """Return what stands against the knobs that a loop tells `recipe`; `decided` are those that it has settings for."""
    try:
        knobs = read(told)
        if said := taken(knobs, decided):
            return list(said.values())
        assembled(recipe, read(parts)).fill(knobs)
    except RecipeError as error:
        return _named(error)
    return []


def decided(by: Mapping[str, str], settings: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    """Return those knobs of `recipe` that the `settings` of a loop decide; 0 leaves one as the recipe has it."""
    values = {name: settings[setting] for name, setting in by.items() if name in {k.name for k in recipe.knobs()}}
    return {name: value for name, value in values.items() if value or name not in OWN_AT_ZERO}


def taken(names: Iterable[str], decided: Mapping[str, str]) -> dict[str, str]:
    """Return what stands against those of these knobs that the loop has settings of its own for, by knob."""
    return {
        name: Note("{name} is decided by the loop's own setting {setting}. Set that.", name=name, setting=decided[name])
        for name in names
        if name in decided
    }


def _named(error: RecipeError) -> list[str]:
    """Return the sentences of an error, each behind the name of the knob or slot that it is about."""
    if not error.errors:
        return [note_of(error)]
    return [Note("{name}: {error}", name=name, error=text) for name, texts in error.errors.items() for text in texts]
