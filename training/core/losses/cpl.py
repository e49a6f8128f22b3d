"""Contrastive preference learning: preferences follow regret, and regret is told by log-probabilities alone."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid


def cpl(chosen: Tensor, rejected: Tensor, *, alpha: float, bias: float) -> Tensor:
    """Return -log σ(α (l_w - λ l_l)), (P,), with l = Σ_t log π(a_t | s_t) of a segment, (P,). arXiv:2310.13639.

    λ = `bias` below 1 is the conservative form: with λ = 1 the loss does not change when the same
    constant is added to what is in no data, and probability leaks there. On log-ratios with λ = 1 it is DPO with β = α.
    A segment's log-probabilities are summed; a mean would be another loss. The discount is 1, as in the authors' code.
    """
    assert chosen.shape == rejected.shape and chosen.dim() == 1
    return -logsigmoid(alpha * (chosen.float() - bias * rejected.float()))
