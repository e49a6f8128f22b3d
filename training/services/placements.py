"""Where an engine's calls are best placed on its GPUs: a plan before the run is ordered, beside the naive one.

A run keeps the plan that was made for it, with what it is valid for, and a worker looks again before it starts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from annotation.told import told
from training import gpus, objections, paths
from training.errors import Invalid, TrainingError
from training.models import Run
from training.recipes.base import Recipe, RecipeError
from training.recipes.engines.placement import Inventory
from training.recipes.engines.steps import Placement, gpus_of, placed
from training.recipes.note import note_of
from training.services.runs import refuse_for_engine

GPU_MEMORY_GIB = 80.0  # of a GPU, unless a person says otherwise
SLACK = 1.05  # a GPU sold as one of 80 GiB tells a little less
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
        why = _("How large {model} is cannot be read here. Enter its billions of parameters.").format(model=model)
        raise Invalid(why, {"billions": [why]})
    try:
        inventory = Inventory(1, gpus_of(engine["name"], engine["settings"]), gpu_memory_gib or GPU_MEMORY_GIB)
        return placed(recipe, knobs, engine=engine["name"], inventory=inventory, billions=size)
    except RecipeError as error:
        message = objections.in_words(note_of(error))
        raise Invalid(message, {"engine": [message]}) from None


def kept(found: Placement, *, engine: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plan as a run keeps it, in the layout of a `Placement`, and whether the engine's settings follow it."""
    return {
        "inventory": {"gpus": found.inventory.gpus, "memory_gib": found.inventory.memory_gib},
        "found": {"seconds": found.found.seconds, "memory_gib": found.found.memory_gib, "mark": found.found.mark},
        "rows": [asdict(row) for row in found.rows],
        "settings": found.settings,
        "naive_seconds": found.naive_seconds,
        "naive_memory_gib": found.naive_memory_gib,
        "naive_fits": found.naive_fits,
        "is_naive": found.is_naive,
        "faster": found.faster,
        "followed": all(str(engine["settings"].get(name)) == str(value) for name, value in found.settings.items()),
    }


def record(*, engine: Mapping[str, Any], **asked: Any) -> dict[str, Any] | None:
    """Return the `plan` that a run by this engine keeps; None where none can be made, which is no reason against it."""
    try:
        found = plan(engine=engine, **asked)
    except Invalid:
        return None
    return kept(found, engine=engine)


def look_again(run: Run) -> None:
    """Hold what a run was planned for against the GPUs of this machine; TrainingError where it does not fit on them.

    What was found stands at the plan. Where nothing tells which GPUs there are, nothing is held against it.
    """
    planned = run.inputs.get("placement")
    if planned is None:
        return
    there = gpus.memories()
    if there is None:
        found: dict[str, Any] = {"told": False}
    else:
        wanted = planned["inventory"]
        least = min(sorted(there, reverse=True)[: wanted["gpus"]], default=0.0)
        if len(there) < wanted["gpus"] or least * SLACK < planned["found"]["memory_gib"]:
            raise TrainingError(
                told(
                    "The run was planned for {n} GPUs of which the fullest holds {needed} GiB, and this worker has "
                    "{there} with {least} GiB at least. Plan it for these, or have it run elsewhere.",
                    n=wanted["gpus"],
                    needed=round(planned["found"]["memory_gib"], 1),
                    there=len(there),
                    least=round(least, 1),
                )
            )
        same = len(there) == wanted["gpus"] and least * SLACK >= wanted["memory_gib"] >= least / SLACK
        found = {"told": True, "gpus": len(there), "memory_gib": round(least, 1), "same": same}
    run.inputs = {**run.inputs, "placement": {**planned, "at_start": found}}
    Run.objects.filter(pk=run.pk).update(inputs=run.inputs)


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
        total += sum(math.prod(one["shape"]) for name, one in header.items() if name != "__metadata__")
    return total / 1e9 or None
