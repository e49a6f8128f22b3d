"""Members that say how sure they are."""

from __future__ import annotations

from torch import Tensor


def gaussian(means: Tensor, deviations: Tensor, targets: Tensor) -> Tensor:
    """Return E[(r - t)²] = (μ - t)² + s² for r = μ + s·ε, (B, M). arXiv:2409.15360, section 4.2.

    The paper trains its members on sampled rewards by mean squared error; this is that loss's expectation over the
    sample, without its noise. It presses every s to 0, also where there was no data: s is no measure of what a member
    does not know. The spread over the members is.
    """
    assert means.shape == deviations.shape == targets.shape and means.dim() == 2
    return (means.float() - targets) ** 2 + deviations.float() ** 2
