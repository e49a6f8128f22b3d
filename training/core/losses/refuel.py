"""Regression on how much better one answer is: REBEL on single answers, REFUEL on turns of a dialogue."""

from __future__ import annotations

from torch import Tensor


def refuel(chosen: Tensor, rejected: Tensor, gap: Tensor, *, eta: float) -> Tensor:
    """Return (h_w - h_l - η · gap)², (P,), with h = log π(y|x) - log π_t(y|x), (P,). arXiv:2410.04612.

    π_t is the policy that wrote the answers, and `gap` how much better the first one's outcome is. The paper divides h
    by η and we multiply the gap, as its code does: the same optimum, and another scale of the loss. Exchanging the two
    and the sign of the gap changes nothing.
    """
    assert chosen.shape == rejected.shape == gap.shape and chosen.dim() == 1
    return (chosen.float() - rejected.float() - eta * gap.float()) ** 2
