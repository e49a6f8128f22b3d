"""Models out of the weights of two others, and the layers in which they differ. No training, no data.

A weight is a model's parameter here; λ, the share of the second model, is called `share`. Every rule gives the first
model at λ = 0 and, but for those that add a difference to it, the second one at λ = 1, bit for bit.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from training.core.job import RunError
from training.recipes.note import Note

Weights = Mapping[str, Tensor]
EPSILON = 1e-6  # sine of an angle below which two weights point the same way

# How one weight comes of the two, that of what both were trained from (zeros where the rule needs none), and λ.
Rule = Callable[[Tensor, Tensor, Tensor, float], Tensor]


def linear(first: Tensor, second: Tensor, base: Tensor, share: float) -> Tensor:
    """(1 - λ)·a + λ·b. Of two equal weights it is that weight, at either end that end, bit for bit."""
    return torch.lerp(first, second, share)


def slerp(first: Tensor, second: Tensor, base: Tensor, share: float) -> Tensor:
    """sin((1-λ)Ω)/sin Ω · a + sin(λΩ)/sin Ω · b on the flattened weights at the angle Ω; linear where they align."""
    if share in (0.0, 1.0):
        return second.clone() if share else first.clone()
    lengths = first.norm() * second.norm()
    cosine = float((first * second).sum() / lengths) if lengths > 0 else 1.0
    angle = math.acos(max(-1.0, min(1.0, cosine)))
    if math.sin(angle) < EPSILON:
        return torch.lerp(first, second, share)
    own, other = math.sin((1 - share) * angle), math.sin(share * angle)
    return (own * first + other * second) / math.sin(angle)


def arithmetic(first: Tensor, second: Tensor, base: Tensor, share: float) -> Tensor:
    """a + λ·(b - base): what the second learned is added to the first. Task arithmetic, arXiv:2212.04089."""
    return first + share * (second - base) if share else first.clone()


def ties(density: float) -> Rule:
    """Trim, elect the sign, and take the mean of those that agree. TIES, arXiv:2306.01708, algorithm 1.

    Of each difference to the base the `density` largest numbers are kept; a number's sign is that of the weighted sum,
    and its value the weighted mean of the differences that have this sign.
    """

    def rule(first: Tensor, second: Tensor, base: Tensor, share: float) -> Tensor:
        if share in (0.0, 1.0):
            return second.clone() if share else first.clone()
        weights = torch.tensor([1 - share, share]).reshape(2, *[1] * first.dim())
        trimmed = torch.stack([_trimmed(one - base, density) for one in (first, second)])
        elected = (weights * trimmed).sum(0).sign()
        agree = (trimmed.sign() == elected) & (trimmed != 0)
        weighed = (weights * agree).sum(0)
        return base + torch.where(weighed > 0, (weights * trimmed * agree).sum(0) / weighed.clamp_min(1e-12), 0.0)

    return rule


def _trimmed(difference: Tensor, density: float) -> Tensor:
    """Return `difference` with all but its `density` largest numbers set to 0."""
    kept = max(1, round(density * difference.numel()))
    if kept >= difference.numel():
        return difference
    least = difference.abs().flatten().kthvalue(difference.numel() - kept + 1).values
    return torch.where(difference.abs() >= least, difference, 0.0)


def dare(density: float, seed: int) -> Rule:
    """Drop numbers of each difference by chance and scale up the rest. DARE, arXiv:2311.03099, eq. 1 and 2.

    A number stays with probability `density` and is then divided by it, so that each difference stays the same in
    expectation; base + (1-λ)·τ_a + λ·τ_b of what is left.
    """

    def rule(first: Tensor, second: Tensor, base: Tensor, share: float) -> Tensor:
        if share in (0.0, 1.0):
            return second.clone() if share else first.clone()
        draw = torch.Generator().manual_seed(seed + zlib.crc32(str(tuple(first.shape)).encode()))
        ours, theirs = (
            difference * (torch.rand(difference.shape, generator=draw) < density) / density
            for difference in (first - base, second - base)
        )
        return base + (1 - share) * ours + share * theirs

    return rule


def rule_called(method: str, *, density: float, seed: int) -> Rule:
    """Return the rule of that name."""
    found: dict[str, Rule] = {"linear": linear, "slerp": slerp, "arithmetic": arithmetic}
    return {**found, "ties": ties(density), "dare": dare(density, seed)}[method]


def merged(first: Weights, second: Weights, base: Weights | None, *, rule: Rule, share: float) -> dict[str, Tensor]:
    """Return the weights at λ = `share`, computed in float32 and kept in the first model's number formats.

    What only the first model has, such as the eyes of one that sees, is copied from it. RunError where a weight that
    both have differs in shape, or where they have none in common.
    """
    second, base = _named_as(first, second), None if base is None else _named_as(first, base)
    shared = first.keys() & second.keys()
    if not shared:
        raise RunError(
            Note("The two models have no weight in common, so they cannot be merged. Take two of one family.")
        )
    for name in sorted(shared):
        shapes = {tuple(one[name].shape) for one in (first, second, base if base is not None else first) if name in one}
        if len(shapes) > 1:
            told = " and ".join(" × ".join(map(str, shape)) for shape in sorted(shapes))
            raise RunError(
                Note(
                    "{name} is {told} numbers, so the models cannot be merged. Take two of one family and size.",
                    name=name,
                    told=told,
                )
            )
        if base is not None and name not in base:
            raise RunError(
                Note(
                    "The base has no {name}, which both models have. Take the model that both were made from.",
                    name=name,
                )
            )
    out = {}
    for name, own in first.items():
        if name not in shared or not own.is_floating_point():
            out[name] = own.clone()
            continue
        a, b = own.float(), second[name].float()
        start = base[name].float() if base is not None else torch.zeros_like(a)
        out[name] = rule(a, b, start, share).to(own.dtype)
    return out


def _named_as(first: Weights, other: Weights) -> Weights:
    """Return the other model's weights under the names they have in the first: one that sees nests its words deeper."""
    plain = {name.replace("language_model.", ""): weight for name, weight in other.items()}
    return {name: plain[short] for name in first if (short := name.replace("language_model.", "")) in plain}


def drift(first: Weights, second: Weights) -> list[dict[str, float | str]]:
    """Return of each layer {"layer", "cosine", "moved"}: the angle between the two models' weights, and ‖b-a‖/‖a‖.

    Where safety is lost some layers have moved more than others (arXiv:2410.07571, section 5); this tells which did.
    """
    sums: dict[str, list[float]] = {}
    second = _named_as(first, second)
    for name in first.keys() & second.keys():
        a, b = first[name].double(), second[name].double()
        if a.shape != b.shape:
            continue
        found = sums.setdefault(layer_of(name), [0.0] * 4)
        for place, value in enumerate(((a * b).sum(), a.square().sum(), b.square().sum(), (b - a).square().sum())):
            found[place] += float(value)
    told: list[dict[str, float | str]] = []
    for layer, (dot, ours, theirs, gap) in sorted(sums.items(), key=lambda one: _in_order(one[0])):
        lengths = math.sqrt(ours * theirs)
        moved = math.sqrt(gap / ours) if ours else 0.0
        told.append({"layer": layer, "cosine": dot / lengths if lengths else 1.0, "moved": moved})
    return told


def layer_of(name: str) -> str:
    """Return the layer that a weight belongs to: "layers.3", or where it stands outside of them its own first words."""
    found = re.search(r"\b(?:layers?|h|blocks?)\.(\d+)\b", name)
    return f"layers.{found[1]}" if found else name.removeprefix("model.").removesuffix(".weight")


def _in_order(layer: str) -> tuple[int, int, str]:
    number = layer.removeprefix("layers.")
    return (0, int(number), "") if number != layer else (1, 0, layer)
