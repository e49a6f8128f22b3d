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
        raise RecipeError(f"There is no engine called {name}. There are {', '.join(found)}.", {"engine": ["Unknown."]})
    return found[name]


def refuse_parts(recipe: Recipe, engine: str, supported: Mapping[str, tuple[str, ...]]) -> None:
    """Raise RecipeError where a part has no counterpart in the engine; `supported` is slot → names of parts."""
    for part in recipe.parts:
        if part.slot in ("trainer",):
            continue
        if part.name not in supported.get(part.slot, ()):
            said = f"{engine} has no counterpart of {part.slot}/{part.name}. Run it locally, or choose another recipe."
            raise RecipeError(said, {"engine": [said]})


def refuse_knobs(recipe: Recipe, knobs: Mapping[str, Any], engine: str, read: set[str]) -> None:
    """Raise RecipeError for each knob that is not as usual and that nothing of the engine's settings comes from."""
    usual = {knob.name: knob.default for knob in recipe.knobs()}
    left = [name for name in usual if name not in read and knobs[name] != usual[name]]
    if left:
        told = {name: [f"{engine} has no such setting. Leave it at {usual[name]}, or run it locally."] for name in left}
        raise RecipeError(f"{engine} knows nothing of {', '.join(left)}.", told)


def overridden(settings: dict[str, Any], own: Mapping[str, Any], *, free: Mapping[str, type], engine: str) -> None:
    """Put a person's `own` settings of the engine into `settings`; RecipeError for one that is not `free` to be set."""
    errors = {}
    for name, value in own.items():
        if name in settings and name not in free:
            errors[name] = ["The recipe decides this. Change the recipe's own setting."]
        elif name not in free:
            near = difflib.get_close_matches(name, free, n=1)
            errors[name] = [f"Did you mean {near[0]}?" if near else f"There are {', '.join(free)}."]
        else:
            try:
                settings[name] = _as(value, free[name])
            except ValueError:
                errors[name] = [f"Enter a value of the kind {free[name].__name__}, not {value!r}."]
    if errors:
        raise RecipeError(f"{engine} cannot be told {', '.join(errors)}.", errors)


def _as(value: Any, kind: type) -> Any:
    if kind is bool:
        if str(value).lower() not in ("true", "false"):
            raise ValueError
        return str(value).lower() == "true"
    if kind is int and (isinstance(value, bool) or float(value) != int(float(value))):
        raise ValueError
    return kind(float(value)) if kind is int else kind(value)
