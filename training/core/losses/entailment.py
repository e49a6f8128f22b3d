"""Yes or no."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def entailment(logits: Tensor, labels: Tensor, *, balance: float) -> Tensor:
    """Return -y log σ(z) - w (1 - y) log σ(-z), (B,), with z = log p(Yes) - log p(No). arXiv:2509.21319.

    Cross-entropy of the two answers alone: what the paper's training on the answer's token becomes when only these two
    tokens can be said. `balance` w weighs the noes, of which there are fewer (35 % in the paper's data).
    """
    assert logits.shape == labels.shape and logits.dim() == 1
    z = logits.float()
    return torch.where(labels > 0.5, -logsigmoid(z), -balance * logsigmoid(-z))
