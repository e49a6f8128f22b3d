"""Parts: how several scores of one answer become one reward."""

from __future__ import annotations

from typing import ClassVar

from training.recipes.base import knob, part


class Combine:
    """What the parts of this slot read and write."""

    needs: ClassVar[tuple[str, ...]] = ("scores",)
    gives: ClassVar[tuple[str, ...]] = ("reward",)
    # How many opinions of an answer it is made for: "one", "several", or "any" where one is as good.
    opinions: ClassVar[str] = "several"
    reads: ClassVar[str] = "first"  # the columns of the first scorer alone, or "all" that there are


@part("combine", "first", target="training.core.stages.combine:first")
class First(Combine):
    """The first score alone. arXiv:2203.02155."""

    opinions: ClassVar[str] = "one"


@part("combine", "mean", target="training.core.stages.combine:mean")
class Mean(Combine):
    """The mean of an ensemble. arXiv:2310.02743, eq. 2."""

    opinions: ClassVar[str] = "any"


@part("combine", "weighted-sum", target="training.core.stages.combine:weighted_sum")
class WeightedSum(Combine):
    """Scores by name, each with its weight. arXiv:2406.12845, section 3.3."""

    opinions: ClassVar[str] = "any"
    reads: ClassVar[str] = "all"
    weights: str = knob("reward=1", "each score that counts as name=weight, with commas between them")


@part("combine", "min", target="training.core.stages.combine:minimum")
class Min(Combine):
    """The lowest score of an ensemble: worst-case optimisation. arXiv:2310.02743, eq. 3."""


@part("combine", "mean-minus-var", target="training.core.stages.combine:mean_minus_var")
class MeanMinusVar(Combine):
    """The mean less the members' variance: uncertainty-weighted optimisation. arXiv:2310.02743, eq. 4."""

    variance_weight: float = knob(0.5, "what one unit of variance costs; 0.5 for best of n, 0.1 for PPO", low=0.0)


@part("combine", "robust", target="training.core.stages.combine:robust")
class Robust(Combine):
    """A nominal reward and the worst of an uncertainty set, weighted. arXiv:2409.15360, eq. 7."""

    nominal_weight: float = knob(0.6, "weight of the nominal reward; 0 counts the worst alone", low=0.0, high=1.0)
    nominal: str = knob(
        "mean",
        "the nominal reward: the members' mean, or the member that is least unsure of itself",
        choices=("mean", "least_spread"),
    )
    worst_of: str = knob(
        "sample", "the worst member of each sample, or the one member worst over the batch", choices=("sample", "batch")
    )


@part("combine", "gated", target="training.core.stages.combine:gated")
class Gated(Combine):
    """The mixture that a gate makes of the attributes, by the prompt. arXiv:2406.12845, eq. 4."""

    opinions: ClassVar[str] = "one"
