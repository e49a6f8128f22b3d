"""Direct preference optimisation."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid


def dpo(chosen: Tensor, rejected: Tensor, *, beta: float, label_smoothing: float) -> Tensor:
    """Return -(1 - ε) log σ(z) - ε log σ(-z), (P,), with z = β (h_w - h_l) and h = log π(y|x) - log π_ref(y|x), (P,).

    arXiv:2305.18290, eq. 7; smoothing as in the authors' code: ε is the share of labels believed to be the wrong way
    round. h sums over the completion including its end token; a mean would be another loss.
    """
    assert chosen.shape == rejected.shape and chosen.dim() == 1
    z = beta * (chosen.float() - rejected.float())
    return -(1 - label_smoothing) * logsigmoid(z) - label_smoothing * logsigmoid(-z)
