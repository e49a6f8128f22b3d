"""Preferences of people who want different things."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def latent(gaps: Tensor, of: Tensor, mean: Tensor, log_variance: Tensor, *, kl_weight: float) -> Tensor:
    """Return mean_q[-log σ(gap_q)] + β KL(N(μ, s²) ‖ N(0, 1)) of each person, (U,). arXiv:2408.10075, eq. 4.

    `gaps` (Q,) are r(y_w, z) - r(y_l, z), each of the person `of` (Q,); μ and log s² are (U, L). The divergence is
    ½ Σ (μ² + s² - 1 - log s²), in nats; the authors' metric for it lacks the ½.
    """
    assert gaps.shape == of.shape and mean.shape == log_variance.shape and mean.dim() == 2
    people = len(mean)
    losses = -logsigmoid(gaps.float())
    sums = losses.new_zeros(people).index_add(0, of, losses)
    ranking = sums / torch.bincount(of, minlength=people).clamp(min=1)
    return ranking + kl_weight * divergence(mean, log_variance)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(μ, s²) ‖ N(0, 1)), (U, L) → (U,), in nats."""
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1)
