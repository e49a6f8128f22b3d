"""Several scores of an answer become one reward: the slot `combine`. Each takes `Scores` and returns (B,).

Members of an ensemble have to be standardised on a common set before any of these but `weighted_sum` means something:
each has an offset and a scale of its own. The heads do that at the end of their training.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from training.core.heads import MIXED, Scores
from training.core.job import RunError
from training.recipes.note import Note


def first(scores: Scores) -> Tensor:
    """Return the first column."""
    return scores.values[:, 0]


def mean(scores: Scores) -> Tensor:
    """Return the mean over the columns. arXiv:2310.02743, eq. 2."""
    return scores.values.mean(-1)


def weighted_sum(scores: Scores, *, weights: str) -> Tensor:
    """Return Σ w_k · r_k with the weights by name, as in "helpful=1, cost=-0.5"; columns not named do not count."""
    given = weighed(weights, scores.names)
    columns = [weight * scores.named(name) for name, weight in given.items()]
    return torch.stack(columns).sum(0)


def minimum(scores: Scores) -> Tensor:
    """Return the lowest column: worst-case optimisation. arXiv:2310.02743, eq. 3."""
    return scores.values.min(-1).values


def mean_minus_var(scores: Scores, *, variance_weight: float) -> Tensor:
    """Return mean - λ · variance over the members: uncertainty-weighted optimisation. arXiv:2310.02743, eq. 4.

    The variance is that of the population, Σ (r_i - r̄)² / M, as in the paper and its best-of-n code.
    """
    return scores.values.mean(-1) - variance_weight * scores.values.var(-1, correction=0)


def robust(scores: Scores, *, nominal_weight: float, nominal: str, worst_of: str) -> Tensor:
    """Return w · nominal + (1 - w) · worst. arXiv:2409.15360, eq. 7, as a reward of each sample.

    `worst_of` sample takes each sample's lowest column (the minimum inside the expectation, a lower bound of the
    objective); batch takes the column whose mean over the batch is lowest, which is the objective's set of rewards. The
    paper's nominal reward is the mean of the member that is least unsure of itself; we take the mean over members
    by default, because a member's own spread says nothing outside its data (tests/experiments, card 25).
    """
    values = scores.values
    if worst_of == "batch":
        worst = values[:, values.mean(0).argmin()]
    else:
        worst = values.min(-1).values
    if nominal == "least_spread":
        if scores.spread is None:
            raise RunError(Note("These scores have no spread of their own. Take the mean as nominal reward."))
        usual = values.gather(1, scores.spread.argmin(-1, keepdim=True)).squeeze(1)
    else:
        usual = values.mean(-1)
    return nominal_weight * usual + (1 - nominal_weight) * worst


def gated(scores: Scores) -> Tensor:
    """Return the column that a gate over the prompt has mixed from the others. arXiv:2406.12845, eq. 4."""
    if MIXED not in scores.names:
        raise RunError(Note("These scores have no mixture. Train the recipe gated-objectives, or choose another way."))
    return scores.named(MIXED)


def weighed(text: str, names: Sequence[str]) -> dict[str, float]:
    """Return name → weight of a text, as `weights_of` does; RunError where a name is none of the scores' `names`."""
    given = weights_of(text)
    missing = [name for name in given if name not in names]
    if missing or not given:
        raise RunError(
            Note(
                "The weights name {names}. The scores that there are: {scores}.",
                names=", ".join(missing) or Note("nothing"),
                scores=", ".join(names),
            )
        )
    return given


def weights_of(text: str) -> dict[str, float]:
    """Return name → weight of a text like "helpful=1, cost=-0.5"; RunError says how it is written."""
    weights = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = item.rpartition("=")
        try:
            weights[name.strip()] = float(value)
        except ValueError:
            name = ""
        if not name.strip():
            raise RunError(Note('"{item}" is no weight. Write them like this: helpful=1, cost=-0.5.', item=item))
    return weights
