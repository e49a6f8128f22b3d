"""Telling answers after a rewrite from those before it."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid


def discriminator(chosen: Tensor, rejected: Tensor, strength: Tensor) -> Tensor:
    """Return -½ log σ(s_w) - ½ log σ(-s_l), (P,): both answers of a pair judged each by itself, the rewritten one as 1.

    Binary cross-entropy, after the reward of the text simplification of arXiv:2401.15043, where a light classifier of
    simplified against original text stands in for people (its architecture and constants were not to be had; these are
    ours). σ(s) is the probability that a text is a rewritten one, so scores compare across prompts, which those of
    pairwise ranking do not. `strength` is not read: a rewrite is one or it is not.
    """
    assert chosen.shape == rejected.shape == strength.shape and chosen.dim() == 1
    return -(logsigmoid(chosen.float()) + logsigmoid(-rejected.float())) / 2
