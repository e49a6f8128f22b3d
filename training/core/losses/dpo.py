"""Direct preference optimisation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def dpo(chosen: Tensor, rejected: Tensor, *, beta: float | Tensor, label_smoothing: float) -> Tensor:
    """Return -(1 - ε) log σ(z) - ε log σ(-z), (P,), with z = β (h_w - h_l) and h = log π(y|x) - log π_ref(y|x), (P,).

    arXiv:2305.18290, eq. 7; smoothing as in the authors' code: ε is the share of labels believed to be the wrong way
    round. h sums over the completion including its end token; a mean would be another loss. β is one number, or one of
    each pair, (P,).
    """
    assert chosen.shape == rejected.shape and chosen.dim() == 1
    z = beta * (chosen.float() - rejected.float())
    return -(1 - label_smoothing) * logsigmoid(z) - label_smoothing * logsigmoid(-z)


def margin_dpo(
    chosen: Tensor,
    rejected: Tensor,
    margin: Tensor,
    *,
    beta: float,
    margin_weight: float,
    margin_steepness: float,
    label_smoothing: float,
) -> Tensor:
    """Return `dpo`, (P,), with β of each pair as `scaled_beta` has it from the reward model's margin δ, (P,).

    MM-DPO, arXiv:2502.10391, eq. 4 and 5. The authors' published loss scales by a batch statistic of the policy's own
    margin, which their paper says does not work; this is the paper's. Their likelihood term beside it is left out.
    """
    assert margin.shape == chosen.shape
    beta_P = scaled_beta(margin, beta=beta, margin_weight=margin_weight, margin_steepness=margin_steepness)
    return dpo(chosen, rejected, beta=beta_P, label_smoothing=label_smoothing)


def scaled_beta(margin: Tensor, *, beta: float, margin_weight: float, margin_steepness: float) -> Tensor:
    """Return β (1 + w (1 - exp(-k δ))), (P,), at least β and at most (1 + w) β. arXiv:2502.10391, eq. 5.

    A pair of which the reward model says the contrary of the person, δ < 0, has β itself. Nothing flows back into δ.
    """
    gained = 1 - torch.exp(-margin_steepness * margin.detach().float().clamp(min=0.0))
    return beta * (1 + margin_weight * gained)
