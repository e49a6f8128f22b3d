"""Preferences without a reference policy: SimPO and ORPO by what a token is worth on average, CPO by whole answers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

SUREST = -1e-6  # nats a token: nearer to certain the odds of an answer have no number


def simpo(chosen: Tensor, rejected: Tensor, *, beta: float, target_margin: float) -> Tensor:
    """Return -log σ(β (a_w - a_l) - γ), (P,), with a = log π(y|x) / |y| of each completion, (P,).

    arXiv:2405.14734, eq. 6. γ = `target_margin` is by how much the reward β a of the better answer is to be ahead.
    """
    assert chosen.shape == rejected.shape and chosen.dim() == 1
    return -logsigmoid(beta * (chosen.float() - rejected.float()) - target_margin)


def orpo(chosen: Tensor, rejected: Tensor, *, odds_weight: float) -> Tensor:
    """Return -a_w - λ log σ(log odds_w - log odds_l), (P,), with a as in `simpo` and odds = e^a / (1 - e^a).

    arXiv:2403.07691, eq. 6 and 7. The likelihood is of each answer's tokens; TRL's is of prompt and answer, and a mean
    over the tokens of a batch.
    """
    assert chosen.shape == rejected.shape and chosen.dim() == 1
    chosen, rejected = chosen.float(), rejected.float()
    return -chosen - odds_weight * logsigmoid(_log_odds(chosen) - _log_odds(rejected))


def cpo(chosen: Tensor, rejected: Tensor, *, beta: float, likelihood_weight: float, label_smoothing: float) -> Tensor:
    """Return -(1 - ε) log σ(z) - ε log σ(-z) - α l_w, (P,), with z = β (l_w - l_l) and l = log π(y|x), (P,).

    arXiv:2401.08417, eq. 5: DPO under a reference that finds all answers alike, and the likelihood of the better one,
    a sum over its tokens as there; TRL takes a mean over the tokens of a batch.
    """
    assert chosen.shape == rejected.shape and chosen.dim() == 1
    z = beta * (chosen.float() - rejected.float())
    compared = -(1 - label_smoothing) * logsigmoid(z) - label_smoothing * logsigmoid(-z)
    return compared - likelihood_weight * chosen.float()


def _log_odds(average: Tensor) -> Tensor:
    """Return log(p / (1 - p)) of p = e^a; -expm1 keeps its digits near certainty, where 1 - e^a would have none."""
    average = average.clamp(max=SUREST)
    return average - torch.log(-torch.expm1(average))
