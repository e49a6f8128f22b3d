"""Where an engine's calls are best placed on its GPUs: a plan before the run is ordered, beside the naive one."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from training import objections, paths
from training.errors import Invalid
from training.recipes.base import Recipe, RecipeError
from training.recipes.engines.placement import Inventory
from training.recipes.engines.steps import Placement, gpus_of, placed
from training.recipes.note import note_of
from training.services.runs import refuse_for_engine

GPU_MEMORY_GIB = 80.0  # of a GPU, unless a person says otherwise
LONGEST_HEADER = 100_000_000  # bytes


def plan(
    *,
    recipe: Recipe,
    knobs: Mapping[str, Any],
    engine: Mapping[str, Any],
    model: str,
    gpu_memory_gib: float | None = None,
    billions: float | None = None,
) -> Placement:
    """Return the plan for a run with all its `knobs` by `engine` (``{"name", "settings"}``), and the naive one.

    Invalid where the engine cannot do the run, where it fits on no plan, and where `billions` of parameters were not
    given and the folder of the `model` does not say them.
    """
    refuse_for_engine(recipe, dict(knobs), dict(engine))
    size = billions or billions_in(model)
    if size is None:
        told = _("How large {model} is cannot be read here. Enter its billions of parameters.").format(model=model)
        raise Invalid(told, {"billions": [told]})
    try:
        inventory = Inventory(1, gpus_of(engine["name"], engine["settings"]), gpu_memory_gib or GPU_MEMORY_GIB)
        return placed(recipe, knobs, engine=engine["name"], inventory=inventory, billions=size)
    except RecipeError as error:
        message = objections.in_words(note_of(error))
        raise Invalid(message, {"engine": [message]}) from None


def billions_in(model: str) -> float | None:
    """Return the parameters of the model in a folder of this server, by the headers of its files; None if none are."""
    folder = Path(paths.resolve(model))
    if not folder.is_dir() or (folder / "adapter_config.json").exists():
        return None
    total = 0
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if length > LONGEST_HEADER:
                return None
            try:
                header = json.loads(opened.read(length))
            except ValueError:
                return None
        total += sum(math.prod(told["shape"]) for name, told in header.items() if name != "__metadata__")
    return total / 1e9 or None
