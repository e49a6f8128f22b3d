"""Advantage-leftover lunch: a policy gradient on what is there already."""

from __future__ import annotations

import math

from torch import Tensor


def a_lol(logps: Tensor, reference_logps: Tensor, advantage: Tensor, *, importance: str, ratio_clip: float) -> Tensor:
    """Return -A · sg[clip(π(y|x) / π_ref(y|x), 1 ± ε)] · log π(y|x), (B,). A-LoL, arXiv:2305.14718, eq. 3 and 4.

    The completion is one action: log π is the sum over its tokens, and so is the ratio's. Neither the ratio nor the
    advantage has a gradient. With `importance` none the ratio is 1, the paper's reference-free variant. It is clipped
    before it is raised, which is the same and cannot overflow.
    """
    assert logps.shape == reference_logps.shape == advantage.shape and logps.dim() == 1
    own = logps.float()
    weight = advantage.detach().float()
    if importance == "sequence":
        lowest = math.log(1 - ratio_clip) if ratio_clip < 1 else -math.inf
        gap = (own - reference_logps.float()).detach()
        weight = weight * gap.clamp(lowest, math.log(1 + ratio_clip)).exp()
    return -weight * own
