"""Which GPUs each model's calls of a step run on, and how they are cut up there: the plan with the shortest step.

ReaLHF, arXiv:2406.14088: a step is a graph of calls (generate, score, train), each with GPUs and a layout (d, p, t) of
its own: d copies of the model, each in p stages of t slices. The time of a plan is that of its critical path, with
calls on disjoint GPUs side by side and the moving of weights between layouts; what does not fit into memory is no plan.
All figures are estimates from assumed efficiencies, and no measurement. Few plans are tried one by one, many by
Metropolis steps with a fixed seed.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from training.recipes.base import RecipeError

EXHAUSTIVE = 100_000  # plans that are tried one by one
# Bytes a parameter takes: its weight in bfloat16; gradient, master weight and Adam's two moments where it is trained.
WEIGHT, TRAINED = 2.0, 14.0


@dataclass(frozen=True)
class Inventory:
    """The GPUs there are. `bandwidth` is gigabytes a second between any two of them."""

    nodes: int
    gpus_per_node: int
    memory_gib: float
    bandwidth: float = 100.0

    @property
    def gpus(self) -> int:
        return self.nodes * self.gpus_per_node

    @property
    def mark(self) -> str:
        """Return what a plan is valid for: another kind or number of GPUs has another mark."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Model:
    name: str
    billions: float  # parameters
    trained: bool = False


@dataclass(frozen=True)
class Call:
    """A use of a model in a step. `work` is its seconds on one GPU; `cache_gib` is what it holds besides, in all."""

    name: str
    model: str
    work: float
    after: tuple[str, ...] = ()
    cache_gib: float = 0.0


@dataclass(frozen=True, order=True)
class Layout:
    """`count` GPUs from `first` on: d copies in p stages of t slices, d·p·t = count."""

    first: int
    count: int
    d: int
    p: int
    t: int

    def __str__(self) -> str:
        return f"GPU {self.first} to {self.first + self.count - 1}: d{self.d}p{self.p}t{self.t}"


Plan = Mapping[str, Layout]  # by the call's name


@dataclass(frozen=True)
class Found:
    """The plan, how long a step takes by it, what the fullest GPU holds, and how many plans were looked at."""

    plan: dict[str, Layout]
    seconds: float
    memory_gib: float
    tried: int
    exhaustive: bool
    mark: str


def layouts(inventory: Inventory) -> list[Layout]:
    """Return every layout: aligned blocks of a node whose size is a power of two, or whole nodes; t within a node."""
    sizes = [2**k for k in range(inventory.gpus_per_node.bit_length()) if inventory.gpus_per_node % 2**k == 0]
    blocks = [(first, size) for size in sizes for first in range(0, inventory.gpus, size)]
    for many in range(1, inventory.nodes + 1):
        size = many * inventory.gpus_per_node
        blocks += [(first * inventory.gpus_per_node, size) for first in range(inventory.nodes - many + 1)]
    found = set()
    for first, size in blocks:
        for t, p in itertools.product(range(1, inventory.gpus_per_node + 1), range(1, size + 1)):
            if size % (t * p) == 0 and t & (t - 1) == 0 and p & (p - 1) == 0:
                found.add(Layout(first, size, size // (t * p), p, t))
    return sorted(found)


def seconds_of(call: Call, layout: Layout) -> float:
    """Return how long a call takes: each halving of a model into slices costs 5 %, into stages 10 %."""
    share = 0.95 ** math.log2(layout.t) * 0.9 ** math.log2(layout.p)
    return call.work / (layout.count * share)


def makespan(calls: Sequence[Call], models: Mapping[str, Model], plan: Plan, inventory: Inventory) -> float:
    """Return the seconds of a step: each call begins when those before it have ended and its GPUs are free.

    `calls` come in an order in which each stands behind those it needs. A model that is next used in another layout is
    moved there first, 2 bytes a parameter over the GPUs that receive it.
    """
    free = [0.0] * inventory.gpus
    ended: dict[str, float] = {}
    lies: dict[str, Layout] = {}
    for call in calls:
        layout = plan[call.name]
        gpus = range(layout.first, layout.first + layout.count)
        start = max([0.0, *(ended[name] for name in call.after), *(free[gpu] for gpu in gpus)])
        if lies.get(call.model, layout) != layout:
            start += WEIGHT * models[call.model].billions / (inventory.bandwidth * layout.count)
        lies[call.model] = layout
        ended[call.name] = start + seconds_of(call, layout)
        for gpu in gpus:
            free[gpu] = ended[call.name]
    return max(ended.values())


def memory(calls: Sequence[Call], models: Mapping[str, Model], plan: Plan, inventory: Inventory) -> list[float]:
    """Return what each GPU holds at most, in GiB: every layout of every model on it, and the largest cache.

    A trained model's gradients, master weights and moments lie where its last call is, sharded over its copies too.
    """
    held = [0.0] * inventory.gpus
    caches = [0.0] * inventory.gpus
    placed: dict[str, set[Layout]] = {}
    trained: dict[str, Layout] = {}
    for call in calls:
        layout = plan[call.name]
        placed.setdefault(call.model, set()).add(layout)
        trained[call.model] = layout  # the last call of a trained model is the one that trains it
        for gpu in range(layout.first, layout.first + layout.count):
            caches[gpu] = max(caches[gpu], call.cache_gib / layout.count)
    for name, several in placed.items():
        gib = models[name].billions * 1e9 / 2**30
        for layout in several:
            share = WEIGHT * gib / (layout.p * layout.t)
            if models[name].trained and layout == trained[name]:
                share += TRAINED * gib / (layout.p * layout.t * layout.d)
            for gpu in range(layout.first, layout.first + layout.count):
                held[gpu] += share
    return [one + cache for one, cache in zip(held, caches, strict=True)]


def planned(
    calls: Sequence[Call],
    models: Sequence[Model],
    inventory: Inventory,
    *,
    seed: int = 0,
    steps: int = 20_000,
    exhaustive: int = EXHAUSTIVE,
    engine: str = "",
) -> Found:
    """Return the plan with the shortest step that fits; RecipeError names the model for which none does.

    With an `engine` only plans are looked at that it can carry out: verl has all calls on all GPUs, and no stages;
    AReaL has calls on the same GPUs or on others, and not on some of the same.
    """
    by_name = {model.name: model for model in models}
    choices = layouts(inventory)
    if engine == "verl":
        choices = [one for one in choices if one.count == inventory.gpus and one.p == 1]
    _refuse_what_never_fits(calls, by_name, choices, inventory)
    names = [call.name for call in calls]

    def cost(plan: Plan) -> float:
        if engine == "areal" and not _apart_or_alike(list(plan.values())):
            return math.inf
        if max(memory(calls, by_name, plan, inventory)) > inventory.memory_gib:
            return math.inf
        return makespan(calls, by_name, plan, inventory)

    best: dict[str, Layout] = {}
    least, tried = math.inf, 0
    every = len(choices) ** len(names) <= exhaustive
    if every:
        for several in itertools.product(choices, repeat=len(names)):
            tried += 1
            plan = dict(zip(names, several, strict=True))
            if (found := cost(plan)) < least:
                best, least = plan, found
    else:
        best, least, tried = _walk(names, choices, cost, seed=seed, steps=steps)
    if not best:
        raise RecipeError(
            f"The models fit one by one and not together into {inventory.gpus} GPUs of {inventory.memory_gib:g} GiB. "
            "Take more GPUs, or share a model's weights by an adapter."
        )
    fullest = max(memory(calls, by_name, best, inventory))
    return Found(best, least, fullest, tried, every, inventory.mark)


def _walk(names: Sequence[str], choices: Sequence[Layout], cost, *, seed: int, steps: int):  # type: ignore[no-untyped-def]
    """Metropolis steps from plans that are alike for all calls: a worse one is taken with exp(-Δ/T), T falling."""
    draw = random.Random(f"placement {seed}")
    best: dict[str, Layout] = {}
    least, tried = math.inf, 0
    alike = sorted(((cost(dict.fromkeys(names, one)), one) for one in choices), key=lambda pair: pair[0])
    starts = [one for value, one in alike if value < math.inf][:4] or [choices[-1]]
    for start in starts:
        at, now = dict.fromkeys(names, start), cost(dict.fromkeys(names, start))
        if now < least:
            best, least = dict(at), now
        for step in range(steps // len(starts)):
            tried += 1
            # Two at once as well: on the way one by one, a model that lies in two layouts may not fit.
            moved = draw.sample(names, min(draw.choice((1, 2)), len(names)))
            near = {**at, **{name: draw.choice(choices) for name in moved}}
            found = cost(near)
            warm = (least if least < math.inf else 1.0) * 0.2 * (1 - step / (steps // len(starts))) + 1e-12
            if found <= now or (now < math.inf and draw.random() < math.exp(-min((found - now) / warm, 700.0))):
                at, now = near, found
                if now < least:
                    best, least = dict(at), now
    return best, least, tried


def _apart_or_alike(several: Sequence[Layout]) -> bool:
    """Return whether any two of them have the same GPUs, or none of the same."""
    for one, other in itertools.combinations(several, 2):
        apart = one.first + one.count <= other.first or other.first + other.count <= one.first
        if not apart and (one.first, one.count) != (other.first, other.count):
            return False
    return True


def _refuse_what_never_fits(
    calls: Sequence[Call], models: Mapping[str, Model], choices: Sequence[Layout], inventory: Inventory
) -> None:
    for name, model in models.items():
        own = [call for call in calls if call.model == name]
        needs = [max(memory(own, {name: model}, {c.name: one for c in own}, inventory)) for one in choices]
        if own and min(needs) > inventory.memory_gib:
            lacking = min(needs) - inventory.memory_gib
            raise RecipeError(
                f"{name} ({model.billions:g} billion parameters) does not fit: however it is cut up, a GPU lacks "
                f"{lacking:.1f} GiB. Take more or larger GPUs, or a smaller model."
            )


def as_verl(found: Found, actor: str, rollout: str, inventory: Inventory) -> dict[str, int]:
    """Return the settings of verl for a plan: slices of rollout, and how the actor's tokens are cut.

    RecipeError for a plan that verl cannot carry out.
    """
    if any(one.count != inventory.gpus or one.p != 1 for one in found.plan.values()):
        raise RecipeError('verl has all calls on all GPUs, and no stages: plan with engine="verl".')
    return {
        "actor_rollout_ref.rollout.tensor_model_parallel_size": found.plan[rollout].t,
        "actor_rollout_ref.actor.fsdp_config.ulysses_sequence_parallel_size": found.plan[actor].t,
        "trainer.nnodes": inventory.nodes,
        "trainer.n_gpus_per_node": inventory.gpus_per_node,
    }


def as_areal(found: Found, actor: str, rollout: str) -> str:
    """Return AReaL's allocation: + between roles on GPUs of their own, | where they share them; stages by Megatron.

    RecipeError for roles that share some GPUs and not all, which AReaL has no sign for.
    """
    one, other = found.plan[rollout], found.plan[actor]
    apart = one.first + one.count <= other.first or other.first + other.count <= one.first
    if not apart and (one.first, one.count) != (other.first, other.count):
        raise RecipeError("AReaL has roles on the same GPUs or on others, not on some of the same.")
    text = [f"d{layout.d}{f'p{layout.p}' if layout.p > 1 else ''}t{layout.t}" for layout in (one, other)]
    trains = "megatron" if other.p > 1 else "fsdp"
    return f"sglang[rollout]:{text[0]}{'+' if apart else '|'}{trains}[actor]:{text[1]}"
