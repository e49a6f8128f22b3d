"""A step of a recipe as the calls that another engine makes in it, and where these are best placed.

What the planner needs to know of a call is its seconds on one GPU. They come from the sizes of the models and of the
batch, at an assumed speed: 2 operations a parameter and token to read, 6 to learn, and writing token by token at a
tenth of that speed, as it waits for memory. These are estimates to compare places by, and no measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.recipes.base import Recipe, RecipeError
from training.recipes.engines import areal
from training.recipes.engines.placement import (
    Call,
    Found,
    Inventory,
    Layout,
    Model,
    as_areal,
    as_verl,
    makespan,
    memory,
    planned,
)
from training.recipes.note import Note

TERAFLOPS = 300.0  # of one GPU while it multiplies large matrices
WRITING = 0.1  # of that speed while it writes token by token
PROMPT = 512  # tokens of a prompt
CACHE_BYTES = 100_000  # of attention's cache for each token, at seven billion parameters
STEPS = 4000  # plans looked at where there are too many to try one by one

READING, LEARNING = 2.0, 6.0  # operations a parameter and token


@dataclass(frozen=True)
class Row:
    call: str
    model: str
    gpus: str
    layout: str
    seconds: float


@dataclass(frozen=True)
class Placement:
    """A plan beside the naive one, in which each call is spread over all GPUs as copies of the whole model."""

    engine: str
    inventory: Inventory
    calls: tuple[Call, ...]
    found: Found
    seconds: dict[str, float]  # of each call
    naive_seconds: float
    naive_memory_gib: float
    settings: dict[str, Any]  # the engine's own, that say the plan

    @property
    def is_naive(self) -> bool:
        return all((one.p, one.t, one.count) == (1, 1, self.inventory.gpus) for one in self.found.plan.values())

    @property
    def rows(self) -> list[Row]:
        """The calls in the order in which they are made, each with where it is placed."""
        found = []
        for call in self.calls:
            at = self.found.plan[call.name]
            gpus = str(at.first) if at.count == 1 else f"{at.first}–{at.first + at.count - 1}"
            found.append(Row(call.name, call.model, gpus, f"d{at.d}p{at.p}t{at.t}", self.seconds[call.name]))
        return found

    @property
    def naive_fits(self) -> bool:
        return self.naive_memory_gib <= self.inventory.memory_gib

    @property
    def faster(self) -> float:
        """How many times the naive step takes as long as the planned one."""
        return self.naive_seconds / self.found.seconds


def calls_of(recipe: Recipe, knobs: Mapping[str, Any], *, billions: float) -> tuple[list[Call], list[Model]]:
    """Return the calls of a step that an engine makes, in an order in which each follows those it needs.

    The reward is given by our own process, and is none of them.
    """
    parts = {part.slot: part.name for part in recipe.parts}
    n = knobs["samples_per_prompt"] * knobs["prompts_per_iteration"]
    written, read = n * knobs["max_new_tokens"], n * (knobs["max_new_tokens"] + PROMPT)
    speed = TERAFLOPS * 1e12
    once = READING * billions * 1e9 * read / speed
    cache = read * CACHE_BYTES * billions / 7 / 2**30
    learned = LEARNING * billions * 1e9 * read / speed * knobs["passes"]
    calls = [Call("generate", "policy", READING * billions * 1e9 * written / (speed * WRITING), cache_gib=cache)]
    models = [Model("policy", billions, trained=True)]
    before = ["generate"]
    if "kl" in parts or knobs.get("kl_weight"):
        calls.append(Call("refer", "reference", once, after=("generate",)))
        models.append(Model("reference", billions))
        before.append("refer")
    if parts.get("advantage") == "gae":
        calls.append(Call("value", "critic", once, after=("generate",)))
        models.append(Model("critic", billions, trained=True))
        before.append("value")
        calls.append(Call("fit", "critic", learned, after=tuple(before)))
    calls.append(Call("train", "policy", learned, after=tuple(before)))
    return calls, models


def placed(
    recipe: Recipe, knobs: Mapping[str, Any], *, engine: str, inventory: Inventory, billions: float
) -> Placement:
    """Return where the calls of a step are best placed on the GPUs; RecipeError where they do not fit there."""
    calls, models = calls_of(recipe, knobs, billions=billions)
    by_name = {model.name: model for model in models}
    found = planned(calls, models, inventory, steps=STEPS, engine=engine)
    whole = Layout(0, inventory.gpus, inventory.gpus, 1, 1)
    naive = {call.name: whole for call in calls}
    settings: dict[str, Any] = {}
    if engine == "verl":
        settings |= as_verl(found, "train", "generate", inventory)
    else:
        text = as_areal(found, "train", "generate")
        settings |= {"allocation_mode": text, "cluster.n_gpus_per_node": inventory.gpus_per_node}
    return Placement(
        engine=engine,
        inventory=inventory,
        calls=tuple(calls),
        found=found,
        seconds={call.name: _alone(call, by_name, found.plan, inventory) for call in calls},
        naive_seconds=makespan(calls, by_name, naive, inventory),
        naive_memory_gib=max(memory(calls, by_name, naive, inventory)),
        settings=settings,
    )


def _alone(call: Call, models: Mapping[str, Model], plan: Mapping[str, Layout], inventory: Inventory) -> float:
    return makespan([Call(call.name, call.model, call.work)], models, plan, inventory)


def gpus_of(engine: str, own: Mapping[str, Any]) -> int:
    """Return how many GPUs a person's settings of an engine name; RecipeError where that is no number."""
    name = {"verl": "trainer.n_gpus_per_node", "areal": "cluster.n_gpus_per_node"}[engine]
    if name not in own and engine == "areal" and "allocation_mode" in own:
        return areal.gpus_in(str(own["allocation_mode"]))
    told = str(own.get(name, 2 if engine == "areal" else 1))
    if not told.isdigit() or not 1 <= int(told) <= 64:
        raise RecipeError(
            Note("A placement is planned for 1 to 64 GPUs."), {name: [Note("Enter a number of 1 to 64.")]}
        )
    return int(told)
