"""The placement planner against an enumeration of its own, its walk against the optimum, and what does not fit."""

from __future__ import annotations

import itertools
import math
import time

import pytest

from training.recipes import RecipeError
from training.recipes.engines import areal, verl
from training.recipes.engines.placement import (
    Call,
    Found,
    Inventory,
    Layout,
    Model,
    as_areal,
    as_verl,
    layouts,
    makespan,
    memory,
    planned,
)

MODELS = [Model("actor", 1.0, trained=True), Model("reward", 1.0)]
CALLS = [
    Call("generate", "actor", 8.0, cache_gib=4.0),
    Call("score", "reward", 3.0, after=("generate",)),
    Call("refer", "reward", 3.0, after=("generate",)),
    Call("train", "actor", 6.0, after=("score", "refer")),
]
SMALL = Inventory(nodes=1, gpus_per_node=2, memory_gib=12.0)


def brute(calls, models, inventory):
    """The shortest step by looking at every plan: GPUs as sets, times by events and not by a pass over the calls."""
    size = {model.name: model for model in models}
    blocks = {(first, n) for n in (1, 2, 4) for first in range(0, inventory.gpus, n) if n <= inventory.gpus_per_node}
    blocks |= {(0, inventory.gpus)}
    shapes = [
        (frozenset(range(first, first + n)), n // (p * t), p, t)
        for first, n in blocks
        for p in (1, 2, 4, 8)
        for t in (1, 2, 4)
        if n % (p * t) == 0 and t <= inventory.gpus_per_node
    ]
    best = math.inf
    for chosen in itertools.product(shapes, repeat=len(calls)):
        load = dict.fromkeys(range(inventory.gpus), 0.0)
        for model in models:
            gib = model.billions * 1e9 / 2**30
            own = [shape for shape, call in zip(chosen, calls, strict=True) if call.model == model.name]
            for gpus, d, p, t in set(own):
                extra = 14 * gib / (p * t * d) if model.trained and (gpus, d, p, t) == own[-1] else 0
                for gpu in gpus:
                    load[gpu] += 2 * gib / (p * t) + extra
        for gpu in load:
            load[gpu] += max(c.cache_gib / len(s[0]) if gpu in s[0] else 0 for s, c in zip(chosen, calls, strict=True))
        if max(load.values()) > inventory.memory_gib:
            continue
        end = {}
        for place, call in enumerate(calls):
            gpus, _, p, t = chosen[place]
            waits = [end[name] for name in call.after]
            waits += [end[c.name] for c, s in zip(calls[:place], chosen, strict=False) if s[0] & gpus]
            earlier = [s for s, c in zip(chosen[:place], calls, strict=False) if c.model == call.model]
            move = 2 * size[call.model].billions / (inventory.bandwidth * len(gpus))
            begin = max(waits, default=0.0) + (move if earlier and earlier[-1] != chosen[place] else 0.0)
            end[call.name] = begin + call.work / (len(gpus) * 0.95 ** math.log2(t) * 0.9 ** math.log2(p))
        best = min(best, max(end.values()))
    return best


def test_a_step_by_hand():
    """On 2 GPUs: generate on both with t = 2 in 8 / (2 · 0.95), then two scores side by side in 3 each, then train."""
    whole, left, right = Layout(0, 2, 1, 1, 2), Layout(0, 1, 1, 1, 1), Layout(1, 1, 1, 1, 1)
    plan = {"generate": whole, "score": left, "refer": right, "train": whole}
    moved = 2 * 1.0 / 100  # the reward model is read on the second GPU too
    wanted = 8 / 1.9 + moved + 3 + 6 / 1.9
    assert makespan(CALLS, {m.name: m for m in MODELS}, plan, SMALL) == pytest.approx(wanted)
    held = memory(CALLS, {m.name: m for m in MODELS}, plan, SMALL)
    gib = 1e9 / 2**30
    assert held == pytest.approx([gib * (2 / 2 + 14 / 2 + 2) + 2] * 2)


def test_it_finds_what_looking_at_every_plan_finds():
    found = planned(CALLS, MODELS, SMALL)
    assert found.exhaustive and found.tried == len(layouts(SMALL)) ** 4
    assert found.seconds == pytest.approx(brute(CALLS, MODELS, SMALL), rel=1e-12)
    assert found.memory_gib <= SMALL.memory_gib
    wide = Inventory(nodes=2, gpus_per_node=4, memory_gib=40.0)
    two = [CALLS[0], Call("train", "actor", 6.0, after=("generate",))]
    assert planned(two, MODELS[:1], wide).seconds == pytest.approx(brute(two, MODELS[:1], wide), rel=1e-12)


def test_on_two_nodes_the_walk_comes_within_two_per_cent_of_the_best_from_every_seed():
    """Card 20: 2 nodes of 4 GPUs; the best of its 68,921 plans is the brute one's, and 20 walks of 3,000 steps find it.

    A walk as long as the product's takes at most 2 seconds.
    """
    wide = Inventory(nodes=2, gpus_per_node=4, memory_gib=40.0)
    calls = [CALLS[0], CALLS[1], Call("train", "actor", 6.0, after=("score",))]
    best = planned(calls, MODELS, wide)
    assert best.exhaustive and best.tried == len(layouts(wide)) ** 3
    assert best.seconds == pytest.approx(brute(calls, MODELS, wide), rel=1e-12)
    for seed in range(20):
        walked = planned(calls, MODELS, wide, seed=seed, exhaustive=0, steps=3000)
        assert not walked.exhaustive and best.seconds <= walked.seconds * (1 + 1e-12)
        assert walked.seconds <= 1.02 * best.seconds, seed
    began = time.process_time()
    planned(calls, MODELS, wide, exhaustive=0)
    assert time.process_time() - began <= 2


def test_four_models_of_seven_billion_on_eight_gpus():
    """Eight copies of all do not fit into 80 GiB; the plan does, and is as fast as any that is the same for all."""
    inventory = Inventory(nodes=1, gpus_per_node=8, memory_gib=80.0)
    models = [Model("actor", 7, trained=True), Model("critic", 7, trained=True), Model("reward", 7), Model("ref", 7)]
    calls = [
        Call("generate", "actor", 80, cache_gib=60),
        Call("score", "reward", 10, after=("generate",)),
        Call("refer", "ref", 10, after=("generate",)),
        Call("value", "critic", 10, after=("generate",)),
        Call("train", "actor", 40, after=("score", "refer", "value")),
        Call("fit", "critic", 40, after=("score", "refer", "value")),
    ]
    by_name = {model.name: model for model in models}
    alike = {one: dict.fromkeys((c.name for c in calls), one) for one in layouts(inventory)}
    fits = {one: max(memory(calls, by_name, plan, inventory)) <= 80 for one, plan in alike.items()}
    assert not fits[Layout(0, 8, 8, 1, 1)]
    found = planned(calls, models, inventory, steps=2000)
    assert found.memory_gib <= 80
    assert found.seconds <= min(makespan(calls, by_name, alike[one], inventory) for one in alike if fits[one])
    whole = planned(calls, models, inventory, steps=2000, engine="verl")
    assert {(one.first, one.count, one.p) for one in whole.plan.values()} == {(0, 8, 1)}
    assert found.seconds <= 1.02 * whole.seconds
    told = as_verl(whole, "train", "generate", inventory)
    assert set(told) <= set(verl.FREE) and told["trainer.n_gpus_per_node"] == 8
    assert found.mark == inventory.mark != Inventory(1, 8, 40.0).mark


def test_a_plan_in_the_engines_words_or_refused():
    def found(**plan: Layout) -> Found:
        return Found(plan, 1.0, 1.0, 1, True, "")

    left, right, whole = Layout(0, 4, 2, 1, 2), Layout(4, 4, 1, 2, 2), Layout(0, 8, 4, 1, 2)
    assert as_areal(found(a=left, r=right), "a", "r") == "sglang[rollout]:d1p2t2+fsdp[actor]:d2t2"
    assert as_areal(found(a=right, r=right), "a", "r") == "sglang[rollout]:d1p2t2|megatron[actor]:d1p2t2"
    for text in ("sglang[rollout]:d1p2t2+fsdp[actor]:d2t2", "sglang[rollout]:d1p2t2|megatron[actor]:d1p2t2"):
        assert areal.allocated(text)["rollout.backend"] == "sglang:d1p2t2"
    with pytest.raises(RecipeError, match="not on some of the same"):
        as_areal(found(a=left, r=whole), "a", "r")
    with pytest.raises(RecipeError, match="all calls on all GPUs"):
        as_verl(found(a=left, r=left), "a", "r", Inventory(1, 8, 80.0))


def test_what_does_not_fit_is_named_with_what_it_lacks():
    with pytest.raises(RecipeError, match=r"actor \(70 billion parameters\) does not fit.*lacks \d+\.\d GiB"):
        planned([Call("train", "actor", 1.0)], [Model("actor", 70, trained=True)], SMALL)
    tight = Inventory(nodes=1, gpus_per_node=1, memory_gib=16.0)
    with pytest.raises(RecipeError, match="not together"):
        planned([Call("a", "one", 1.0), Call("b", "two", 1.0)], [Model("one", 5), Model("two", 5)], tight)
