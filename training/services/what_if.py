"""What other weights or another shape of the reward would choose, of answers that are sampled and scored already.

The weights of objectives (card 31, arXiv:2503.21819) and the shape of a reward (card 34, arXiv:2502.18770) are tried
before a run is started: of each prompt's answers, which would be the best, and what would the other scores be? Here an
answer's references are the other answers to its prompt, where a run has answers of the reference model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, pstdev, stdev
from typing import Any

from django.utils.translation import gettext as _

from training.errors import Invalid
from training.models import Run
from training.services.sampling import output_rows

MOST_PROMPTS = 5000
MOST_GAPS = 500_000  # distances between answers to one prompt, each of which is looked at
LARGEST = 1e6
FLAT = 4.0  # of k · |r - r_ref|: beyond it a reward is too flat to learn from, as `shape_saturated` has it
NORMAL_95 = 1.959964

# A group's rewards and the scale → its shaped rewards. A group is all answers to one prompt, two at least.
Shape = Callable[[Sequence[float], float], list[float]]


def _others(group: Sequence[float]) -> list[list[float]]:
    return [[*group[:place], *group[place + 1 :]] for place in range(len(group))]


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else 1 - 1 / (1 + math.exp(value))


def _preference(group: Sequence[float], scale: float) -> list[float]:
    """Mean over references of σ(k (r - r_ref)), as `training.core.stages.shape.preference`."""
    pairs = zip(group, _others(group), strict=True)
    return [fmean(_sigmoid(scale * (one - other)) for other in others) for one, others in pairs]


def _centred_log_sigmoid(group: Sequence[float], scale: float) -> list[float]:
    """log σ(k (r - r_85)), as `training.core.stages.shape.centred_log_sigmoid`, which has k = 1."""
    high = [fmean(others) + 1.0364 * pstdev(others) for others in _others(group)]
    gaps = [scale * (one - bound) for one, bound in zip(group, high, strict=True)]
    return [min(gap, 0.0) - math.log1p(math.exp(-abs(gap))) for gap in gaps]


def _uncentred(group: Sequence[float], scale: float) -> list[float]:
    return [_sigmoid(scale * one) for one in group]


def _clipped(group: Sequence[float], scale: float) -> list[float]:
    """Clipped to k deviations around the mean of the prompt's answers."""
    mean, spread = fmean(group), pstdev(group)
    return [min(max(one, mean - scale * spread), mean + scale * spread) for one in group]


SHAPES: dict[str, Shape] = {
    "": lambda group, _scale: [*group],
    "preference": _preference,
    "centred-log-sigmoid": _centred_log_sigmoid,
    "sigmoid": _uncentred,
    "clip": _clipped,
}


@dataclass(frozen=True)
class Score:
    """One score of the answers that are chosen: before, then under these weights, and how much that changes it."""

    name: str
    weight: float
    mean: float  # over all answers
    usual: float  # of each prompt's best answer by the reward alone
    chosen: float  # of each prompt's best answer under these weights
    change: dict[str, float | None]  # estimate, low, high, n: prompts; of one prompt there is no interval


@dataclass(frozen=True)
class WhatIf:
    """What weights and a shape do to the answers of a run."""

    prompts: int
    answers: int
    changed: int  # prompts of which another answer is the best
    left_out: int  # prompts with fewer than two answers, or an answer without a score that counts
    scores: list[Score] = field(default_factory=list)
    raw: list[float] = field(default_factory=list)
    shaped: list[float] = field(default_factory=list)
    # The deviation of k · (r - r_ref), of which about 1 to 2 is best, and the share of them beyond `FLAT`.
    spread: float | None = None
    flat: float | None = None


def names_of(run: Run) -> list[str]:
    """Return the names of the scores of a run's answers; none where it left none. Reads the first rows alone."""
    if "samples" not in run.result.get("files", {}):
        return []
    found: dict[str, None] = {}
    for number, row in enumerate(output_rows(run, "samples")):
        found |= dict.fromkeys(name for one in row["completions"] for name in one.get("scores", {}))
        if number >= 20:
            break
    return sorted(found, key=lambda name: (name != "reward", name))


def usual_weights(names: Sequence[str]) -> dict[str, float]:
    """Return the weights that are tried first: the reward's 1, a cost's -1, and 0 for others."""
    known = {"reward": 1.0, "cost": -1.0}
    return {name: known.get(name, 0.0) for name in names}


def checked_weights(given: dict[str, Any], names: Sequence[str]) -> dict[str, float]:
    """Return the weights as numbers, 0 for those that are not given; Invalid names what does not fit."""
    errors: dict[str, list[str]] = {}
    weights = dict.fromkeys(names, 0.0)
    for name, value in given.items():
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if name not in weights:
            told = _("The answers have no score {name}; they have {names}.")
            errors["weights"] = [told.format(name=name, names=", ".join(names) or "–")]
        elif not abs(number) <= LARGEST:
            errors["weights"] = [_("Enter a number for {name}, not {value}.").format(name=name, value=value)]
        else:
            weights[name] = number
    if not errors and not any(weights.values()):
        errors["weights"] = [_("Give at least one score a weight other than 0.")]
    if errors:
        raise Invalid(errors["weights"][0], errors)
    return weights


def of_run(
    run: Run, *, weights: dict[str, float], shape: str = "", scale: float = 1.0, each_on_its_scale: bool = False
) -> WhatIf:
    """Return what these weights and this shape do to a run's answers, of the first `MOST_PROMPTS` prompts,
    or fewer where there are many answers to each.

    With `each_on_its_scale` every score is first standardised among the answers to its prompt, as
    `training.core.stages.advantage.group_norm_each` does: a score in hundreds then counts no more than one in tenths.
    """
    if shape not in SHAPES:
        raise Invalid(_("There is no shape {name}.").format(name=shape), {"shape": [_("Unknown.")]})
    if not 0 < scale <= LARGEST:
        raise Invalid(_("The scale must be above 0."), {"scale": [_("Enter a number above 0.")]})
    counting = [name for name, weight in weights.items() if weight]
    groups: list[list[dict[str, float]]] = []
    left_out = compared = 0
    for number, row in enumerate(output_rows(run, "samples")):
        if number >= MOST_PROMPTS or compared > MOST_GAPS:
            break
        group = [one.get("scores", {}) for one in row["completions"]]
        if len(group) < 2 or any(not _finite(one.get(name)) for one in group for name in counting):
            left_out += 1
        else:
            groups.append(group)
            compared += len(group) ** 2
    return _told(groups, weights, SHAPES[shape], scale, each_on_its_scale, left_out)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _told(
    groups: Sequence[Sequence[dict[str, float]]],
    weights: dict[str, float],
    shape: Shape,
    scale: float,
    each_on_its_scale: bool,
    left_out: int,
) -> WhatIf:
    raw, shaped, gaps, usual, chosen = [], [], [], [], []
    for group in groups:
        rewards = _rewards(group, weights, each_on_its_scale)
        raw += rewards
        shaped += shape(rewards, scale)
        gaps += [
            scale * (one - other) for one, others in zip(rewards, _others(rewards), strict=True) for other in others
        ]
        by = "reward" if all(_finite(one.get("reward")) for one in group) else next(iter(weights))
        usual.append(max(range(len(group)), key=lambda place: group[place].get(by, -math.inf)))
        chosen.append(max(range(len(group)), key=rewards.__getitem__))
    scores = []
    for name, weight in weights.items():
        told = [
            (group[before][name], group[after][name])
            for group, before, after in zip(groups, usual, chosen, strict=True)
            if _finite(group[before].get(name)) and _finite(group[after].get(name))
        ]
        every = [one[name] for group in groups for one in group if _finite(one.get(name))]
        if told:
            before, after = (fmean(side) for side in zip(*told, strict=True))
            change = _interval([later - sooner for sooner, later in told])
            scores.append(Score(name, weight, fmean(every), before, after, change))
    return WhatIf(
        prompts=len(groups),
        answers=len(raw),
        changed=sum(before != after for before, after in zip(usual, chosen, strict=True)),
        left_out=left_out,
        scores=scores,
        raw=raw,
        shaped=shaped,
        spread=pstdev(gaps) if gaps else None,
        flat=sum(abs(gap) > FLAT for gap in gaps) / len(gaps) if gaps else None,
    )


def _rewards(group: Sequence[dict[str, float]], weights: dict[str, float], each_on_its_scale: bool) -> list[float]:
    total = [0.0] * len(group)
    for name, weight in weights.items():
        if weight:
            values = [one[name] for one in group]
            if each_on_its_scale:
                mean, spread = fmean(values), pstdev(values)
                values = [(value - mean) / spread if spread else 0.0 for value in values]
            total = [so_far + weight * value for so_far, value in zip(total, values, strict=True)]
    return total


def _interval(changes: Sequence[float]) -> dict[str, float | None]:
    """Return the mean with its 95 % interval by the normal distribution over prompts; of one prompt only the mean."""
    mean, n = fmean(changes), float(len(changes))
    if n < 2:
        return {"estimate": mean, "low": None, "high": None, "n": n}
    half = NORMAL_95 * stdev(changes) / math.sqrt(n)
    return {"estimate": mean, "low": mean - half, "high": mean + half, "n": n}


def binned(values: Sequence[float], *, bins: int = 12) -> list[tuple[float, float, int]]:
    """Return a histogram as (from, to, how many), of equal widths between the least and the greatest."""
    if not values:
        return []
    low, high = min(values), max(values)
    width = (high - low) / bins or 1.0
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / width))] += 1
    return [(low + place * width, low + (place + 1) * width, count) for place, count in enumerate(counts)]
