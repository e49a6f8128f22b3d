"""Costs whose zero is the border of safe."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def cost(
    unsafer: Tensor,
    safer: Tensor,
    unsafer_severity: Tensor,
    safer_severity: Tensor,
    *,
    sign_weight: float,
    severity_as: str,
    margin_scale: float,
    regularization: float,
) -> Tensor:
    """Return -log σ(c_u - c_s) - w·[log σ(ξ_u·c_u) + log σ(ξ_s·c_s)] + ρ·(c_u² + c_s²)/2, (P,).

    arXiv:2310.12773, eq. 6, with ξ = 1 for an unsafe and -1 for a safe answer; the last term is the authors' code's. A
    severity of 0 is safe, 1 minor, 2 moderate, 3 severe. With severity as weight, ξ is its size too, as in Safe
    RLHF-V's code (arXiv:2503.17682), where an answer's signed severity multiplies its cost inside the sigmoid. With
    severity as margin (ours) an unsafe answer has to come `margin_scale` above 0 for each step beyond the first:
    a multiplier alone lets minor and severe costs meet once both are large.
    """
    assert unsafer.shape == safer.shape == unsafer_severity.shape == safer_severity.shape and unsafer.dim() == 1
    unsafer, safer = unsafer.float(), safer.float()
    loss = -logsigmoid(unsafer - safer) + regularization * (unsafer**2 + safer**2) / 2
    for costs, severity in ((unsafer, unsafer_severity), (safer, safer_severity)):
        sign = torch.where(severity > 0, 1.0, -1.0)
        if severity_as == "weight":
            sign = sign * severity.clamp(min=1.0)
        margin = margin_scale * (severity - 1).clamp(min=0.0) if severity_as == "margin" else 0.0
        loss = loss - sign_weight * logsigmoid(sign * costs - margin)
    return loss
