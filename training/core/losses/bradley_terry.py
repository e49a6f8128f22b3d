"""Pairwise ranking of scores."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid


def bradley_terry(
    chosen: Tensor, rejected: Tensor, strength: Tensor, *, strength_as: str, margin_scale: float
) -> Tensor:
    """Return -log σ(r_w - r_l), (P,), with the strength of the preference taken into account as `strength_as` says.

    none: arXiv:2203.02155, eq. 1. margin: -log σ(r_w - r_l - m), arXiv:2307.09288, eq. 2, with m = margin_scale ·
    strength; at scale 1 the three strengths 1/3, 2/3 and 1 are that paper's "margin small", at scale 3 its "margin
    large". weight: strength · -log σ(r_w - r_l), ours: a slight preference pulls a third as hard, but at no distance.
    """
    assert chosen.shape == rejected.shape == strength.shape and chosen.dim() == 1
    gap = chosen.float() - rejected.float()
    if strength_as == "margin":
        return -logsigmoid(gap - margin_scale * strength)
    loss = -logsigmoid(gap)
    return strength * loss if strength_as == "weight" else loss
