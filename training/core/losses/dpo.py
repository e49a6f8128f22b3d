"""Direct preference optimisation, and its relatives on the same log-ratios."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

DISCOVERED_TAU = 0.05  # of DiscoPOP, as its authors found it


def preference(chosen: Tensor, rejected: Tensor, *, loss_type: str, beta: float, label_smoothing: float) -> Tensor:
    """Return the loss of that type, (P,), from h = log π(y|x) - log π_ref(y|x) of both completions, (P,) each.

    With z = β (h_w - h_l), r = β h and ε the label smoothing, which only `sigmoid`, `robust` and `exo` read:

    - sigmoid: `dpo`
    - hinge: max(0, 1 - z), SLiC-HF, arXiv:2305.10425
    - ipo: (h_w - h_l - 1/2β)², arXiv:2310.12036, eq. 17; on sums, where TRL takes a mean over each answer's tokens
    - robust: `dpo` made free of the bias of flipped labels, arXiv:2403.00409
    - exo: KL((σ(z), σ(-z)) ‖ (1 - ε, ε)), arXiv:2402.00856, eq. 16
    - nca: -log σ(r_w) - ½ log σ(-r_w) - ½ log σ(-r_l), arXiv:2402.05369
    - bco: -log σ(r_w) - log σ(-r_l), arXiv:2404.04656, without its moving shift, as for pairs in TRL
    - sppo: (h_w - 1/2β)² + (h_l + 1/2β)², arXiv:2405.00675, with the winner's chance taken to be 1
    - apo-zero: σ(-r_w) + σ(r_l), and apo-down: σ(r_w) + σ(-z), arXiv:2408.06266, eq. 7 and 8
    - discopop: (1 - m) · -log σ(z) + m e^-z with m = σ(z/τ), arXiv:2406.08414, eq. 5

    Of TRL's list `sigmoid_norm` is sigmoid on means over tokens (`per_token` of the objective), `sft` the likelihood
    beside it (`likelihood_weight`). `aot` is left out: it holds the sorted log-ratios of a batch against each other, so
    that what is learned from a pair would depend on which others are computed at once.
    """
    if loss_type == "sigmoid":
        return dpo(chosen, rejected, beta=beta, label_smoothing=label_smoothing)
    assert chosen.shape == rejected.shape and chosen.dim() == 1
    chosen, rejected = chosen.float(), rejected.float()
    better, worse = beta * chosen, beta * rejected
    z = better - worse
    if loss_type == "hinge":
        return (1 - z).relu()
    if loss_type == "ipo":
        return (chosen - rejected - 1 / (2 * beta)).square()
    if loss_type == "robust":
        kept, flipped = -(1 - label_smoothing) * logsigmoid(z), -label_smoothing * logsigmoid(-z)
        return (kept - flipped) / (1 - 2 * label_smoothing)
    if loss_type == "exo":
        log_share, log_rest = math.log1p(-label_smoothing), math.log(label_smoothing)
        return z.sigmoid() * (logsigmoid(z) - log_share) + (-z).sigmoid() * (logsigmoid(-z) - log_rest)
    if loss_type == "nca":
        return -logsigmoid(better) - 0.5 * logsigmoid(-better) - 0.5 * logsigmoid(-worse)
    if loss_type == "bco":
        return -logsigmoid(better) - logsigmoid(-worse)
    if loss_type == "sppo":
        return (chosen - 0.5 / beta).square() + (rejected + 0.5 / beta).square()
    if loss_type == "apo-zero":
        return (-better).sigmoid() + worse.sigmoid()
    if loss_type == "apo-down":
        return better.sigmoid() + (-z).sigmoid()
    assert loss_type == "discopop", loss_type
    # m e^-z in one exponential: each by itself leaves the numbers where the pair is far on the wrong side.
    return (-z / DISCOVERED_TAU).sigmoid() * -logsigmoid(z) + (logsigmoid(z / DISCOVERED_TAU) - z).exp()


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
