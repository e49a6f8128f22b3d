"""Rankings of several answers, ties included."""

from __future__ import annotations

import torch
from torch import Tensor


def plackett_luce(scores: Tensor, ranks: Tensor, known: Tensor, *, tie_rate: float) -> Tensor:
    """Return -log p of each ranking, (U,), from scores, ranks (1 is best) and whether there is an answer, (U, K).

    Plackett and Luce: an order is a row of choices, each of the best of what is left, with chances in proportion to
    e^score. With ties, by Davidson (for pairs) and Firth, Kosmidis and Turner, arXiv:1909.07123: any subset T of
    what is left may be called best together, in proportion to δ · e^(mean score of T). δ = 2 q / (1 - q), so that
    two equally good answers are called equal with chance q = `tie_rate`; it is one number for ties of every size where
    the paper has one for each. Of two answers it is Bradley and Terry's model, and with q = 0 as published.

    With q = 0 a tie says nothing of the order of those in it, only that each is better than all that come after.
    """
    assert scores.shape == ranks.shape == known.shape and scores.dim() == 2
    left = (ranks.unsqueeze(2) <= ranks.unsqueeze(1)) & known.unsqueeze(1)  # (U, i, j): j was there when i was chosen
    tied = (ranks.unsqueeze(2) == ranks.unsqueeze(1)) & known.unsqueeze(1)
    own = scores.float()
    if tie_rate == 0:
        rivals = left & (~tied | torch.eye(own.shape[1], dtype=torch.bool, device=own.device))
        chosen = own - own.unsqueeze(1).expand_as(rivals).masked_fill(~rivals, -torch.inf).logsumexp(-1)
        return -chosen.masked_fill(~known, 0.0).sum(1)
    members = _subsets(own.shape[1]).to(own.device)  # (S, K)
    log_delta = torch.tensor(2 * tie_rate / (1 - tie_rate), device=own.device).log()
    weights = own @ members.T / members.sum(1) + log_delta * (members.sum(1) > 1)  # (U, S)
    possible = (~left).float() @ members.T == 0  # (U, K, S): all of its members were there
    every = weights.unsqueeze(1).expand_as(possible).masked_fill(~possible, -torch.inf).logsumexp(-1)
    size = tied.sum(-1).clamp(min=1)
    group = (own.unsqueeze(1) * tied).sum(-1) / size + log_delta * (size > 1)
    # Each group of equals is chosen once: its members share the term.
    return -((group - every.masked_fill(~known, 0.0)) / size).masked_fill(~known, 0.0).sum(1)


def _subsets(count: int) -> Tensor:
    """Return the subsets of `count` things but the empty one, (2^count - 1, count), 1 for what is in it."""
    numbers = torch.arange(1, 2**count).unsqueeze(1)
    return (numbers >> torch.arange(count) & 1).float()
