"""Engines that may do a run on the policy's own answers instead of our core: files in, a process, files out.

Neither can live in one environment with our libraries, so nothing of theirs is imported: a recipe is compiled into
their settings, and what has no counterpart there is refused, never dropped.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from training.recipes.base import Recipe, RecipeError
from training.recipes.note import Note, note_of

LOCAL = ""  # our own core


@dataclass(frozen=True)
class Files:
    """Where an engine finds what it reads and puts what it makes; absolute paths."""

    model: str
    data: str
    reward: str
    checkpoints: str


UNBOUNDED = 1e9  # where an engine has no word for "never": a length or a ratio that is never reached

Compile = Callable[..., dict[str, Any]]


def compiler(name: str) -> Compile:
    """Return what makes the settings of the engine `name`; RecipeError for one that there is not."""
    from training.recipes.engines import areal, verl

    found: dict[str, Compile] = {"verl": verl.compiled, "areal": areal.compiled}
    if name not in found:
        none = Note("There is no engine called {name}. There are {names}.", name=name, names=", ".join(found))
        raise RecipeError(none, {"engine": [Note("Unknown.")]})
    return found[name]


def free(name: str) -> Mapping[str, type]:
    """Return which settings of the engine `name` a person may set, and of which kind; none of one that there is not."""
    from training.recipes.engines import areal, verl

    found: dict[str, Mapping[str, type]] = {"verl": verl.FREE, "areal": areal.FREE}
    return found.get(name, {})


def lacking(name: str, recipe: Recipe) -> str:
    """Return why the engine `name` cannot do a recipe, whatever its settings; empty where it can."""
    from training.recipes.engines import areal, verl

    try:
        refuse_parts(recipe, name, {"verl": verl, "areal": areal}[name].SUPPORTED)
    except RecipeError as error:
        return note_of(error)
    return ""


def refuse_parts(recipe: Recipe, engine: str, supported: Mapping[str, tuple[str, ...]]) -> None:
    """Raise RecipeError where a part has no counterpart in the engine; `supported` is slot → names of parts."""
    for part in recipe.parts:
        if part.slot in ("trainer",):
            continue
        if part.name not in supported.get(part.slot, ()):
            said = Note(
                "{engine} has no counterpart of {part}. Run it locally, or choose another recipe.",
                engine=engine,
                part=f"{part.slot}/{part.name}",
            )
            raise RecipeError(said, {"engine": [said]})


def refuse_knobs(recipe: Recipe, knobs: Mapping[str, Any], engine: str, read: set[str]) -> None:
    """Raise RecipeError for each knob that is not as usual and that nothing of the engine's settings comes from."""
    usual = {knob.name: knob.default for knob in recipe.knobs()}
    left = [name for name in usual if name not in read and knobs[name] != usual[name]]
    if left:
        told: dict[str, list[str]] = {}
        for name in left:
            stays = Note(
                "{engine} has no such setting. Leave it at {usual}, or run it locally.",
                engine=engine,
                usual=str(usual[name]),
            )
            told[name] = [stays]
        raise RecipeError(Note("{engine} knows nothing of {names}.", engine=engine, names=", ".join(left)), told)


def overridden(settings: dict[str, Any], own: Mapping[str, Any], *, free: Mapping[str, type], engine: str) -> None:
    """Put a person's `own` settings of the engine into `settings`; RecipeError for one that is not `free` to be set."""
    errors: dict[str, list[str]] = {}
    for name, value in own.items():
        if name in settings and name not in free:
            errors[name] = [Note("The recipe decides this. Change the recipe's own setting.")]
        elif name not in free:
            near = difflib.get_close_matches(name, free, n=1)
            hint = Note("There are {names}.", names=", ".join(free))
            errors[name] = [Note("Did you mean {name}?", name=near[0]) if near else hint]
        else:
            try:
                settings[name] = _as(value, free[name])
            except (ValueError, TypeError, OverflowError):
                kind = free[name].__name__
                errors[name] = [Note("Enter a value of the kind {kind}, not {value}.", kind=kind, value=repr(value))]
    if errors:
        raise RecipeError(Note("{engine} cannot be told {names}.", engine=engine, names=", ".join(errors)), errors)


def _as(value: Any, kind: type) -> Any:
    if kind is bool:
        if str(value).lower() not in ("true", "false"):
            raise ValueError
        return str(value).lower() == "true"
    if isinstance(value, bool | dict | list | None):  # float(True) would be 1.0
        raise ValueError
    if kind is int and (float(value) != int(float(value)) or float(value) < 1):
        raise ValueError
    if kind is str and "${" in str(value):  # their settings' files would put something of the environment there
        raise ValueError
    return kind(float(value)) if kind is int else kind(value)
