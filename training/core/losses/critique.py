"""Critique, then score."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid


def critique(
    chosen: Tensor, rejected: Tensor, chosen_nll: Tensor, rejected_nll: Tensor, *, critique_weight: float, center: float
) -> Tensor:
    """Return -log σ(r_w - r_l) + w (n_w + n_l)/2 + ρ (r_w + r_l)², (P,), with n the critiques' nats a token.

    arXiv:2502.10391, eq. 2 and 3, with the scores read behind people's critiques (teacher forcing). The paper sums over
    a critique's tokens; here it is their mean, as in the authors' code, so that a long critique does not drown the
    ranking. The last term is theirs too (`center_rewards_coefficient` 0.01). An nll of 0 is a critique nobody wrote.
    """
    assert chosen.shape == rejected.shape == chosen_nll.shape == rejected_nll.shape and chosen.dim() == 1
    chosen, rejected = chosen.float(), rejected.float()
    ranking = -logsigmoid(chosen - rejected) + center * (chosen + rejected) ** 2
    return ranking + critique_weight * (chosen_nll.float() + rejected_nll.float()) / 2
