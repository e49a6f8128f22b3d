"""Parts: what turns a state of the backbone into scores."""

from __future__ import annotations

from training.recipes.base import knob, part


@part("head", "cost", target="training.core.heads:cost")
class CostHead:
    """One cost, with a zero that means the border of safe. arXiv:2310.12773."""


@part("head", "ensemble", target="training.core.heads:ensemble")
class EnsembleHead:
    """Several scores of members with numbers of their own, over one shared backbone. arXiv:2310.02743."""

    members: int = knob(5, "members of the ensemble; four or five are enough", low=2, high=64)
    width: int = knob(
        64, "width of each member's hidden layer; 0 for none, which makes members alike", low=0, high=4096
    )


@part("head", "attributes", target="training.core.heads:attributes")
class AttributesHead:
    """One output for each attribute that people rated. arXiv:2406.12845."""
