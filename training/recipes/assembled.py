"""A recipe with other parts in its slots: what no paper combined runs where the parts go together."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Mapping
from typing import Any

from training.recipes.base import PARTS, Recipe, RecipeError, recipe
from training.recipes.note import Note
from training.recipes.slots import ORDER, check_slots


def choices(slot: str) -> dict[str, type]:
    """Return the parts that there are for a slot, by name."""
    return {name: part for (of, name), part in PARTS.items() if of == slot}


def may_be_empty(slot: str) -> bool:
    """Return whether a recipe can do without the slot at all."""
    return slot not in ("combine", "update")


def has_slots(found: Recipe) -> bool:
    """Return whether a recipe is one of the loop on the policy's own answers, whose slots can be filled anew."""
    return found.part("update") is not None


def chosen_in(found: Recipe) -> dict[str, str]:
    """Return which part a recipe has in each slot; an empty name where it has none."""
    return {slot: getattr(found.part(slot), "name", "") for slot in ORDER}


def assembled(name: str, parts: Mapping[str, str] | None = None) -> Recipe:
    """Return the recipe called `name` with other `parts` in its slots (slot → name, empty for none).

    RecipeError says which part does not exist or does not go with the others; its `errors` are by slot.
    """
    found = recipe(name)
    usual = chosen_in(found)
    others = {slot: part for slot, part in (parts or {}).items() if part != usual.get(slot)}
    if not others:
        return found
    if not has_slots(found):
        none = Note("It has no such slot.")
        raise RecipeError(Note("{recipe} has no slots to fill.", recipe=found.title), {slot: [none] for slot in others})
    by_slot = {part.slot: part for part in found.parts}
    for slot, part in others.items():
        if slot not in ORDER:
            none = Note("There is no slot called {slot}. There are {names}.", slot=slot, names=", ".join(ORDER))
            raise RecipeError(none, {slot: [Note("Unknown.")]})
        if not part and may_be_empty(slot):
            by_slot.pop(slot, None)
        elif part in choices(slot):
            by_slot[slot] = choices(slot)[part]()
        else:
            near = difflib.get_close_matches(part, choices(slot), n=1)
            hint = Note("There are {names}.", names=", ".join(choices(slot)))
            if near:
                hint = Note("Did you mean {name}?", name=near[0])
            none = Note("There is no {slot} called {part}.", slot=slot, part=part or Note("nothing"))
            raise RecipeError(Note.together([none, hint]), {slot: [hint]})
    ordered = [*(slot for slot in ORDER if slot in by_slot), *(slot for slot in by_slot if slot not in ORDER)]
    check_slots(by_slot)
    twin = copy.copy(found)  # not `replace`, which would register a second recipe of that name
    object.__setattr__(twin, "parts", tuple(by_slot[slot] for slot in ordered))
    names = [k.name for k in twin.knobs()]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        both = ", ".join(twice)
        raise RecipeError(
            Note("Two of these parts have a setting called {names}. Choose another part for one.", names=both)
        )
    return twin


def to_json(name: str, knobs: dict[str, Any] | None = None, parts: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return what a run stores: name, version, every knob's value and, where they are not the usual ones, the parts."""
    found = assembled(name, parts)
    stored = found.to_json(knobs)
    if found.parts != recipe(name).parts:
        stored["parts"] = chosen_in(found)
    return stored


def from_json(stored: dict[str, Any]) -> tuple[Recipe, dict[str, Any]]:
    """Return the recipe and its filled knobs from what `to_json` gave."""
    found = assembled(stored["name"], stored.get("parts"))
    if stored.get("version") != found.version:
        raise RecipeError(
            Note(
                "This run was made with version {version} of {recipe}; this code has {own}.",
                version=stored.get("version"),
                recipe=found.name,
                own=found.version,
            )
        )
    return found, found.fill(stored.get("knobs"))
