"""Imitation of demonstrations."""

from __future__ import annotations

from torch import Tensor

from training.core.masked import masked_mean


def nll(token_logps: Tensor, completion_mask: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of each completion's tokens, (B, T) → (B,).

    With the number of its tokens as an example's weight, the global weighted mean is the mean over all tokens.
    """
    assert token_logps.shape == completion_mask.shape and token_logps.dim() == 2
    return -masked_mean(token_logps.float(), completion_mask)
