"""Lifts: from a model and a batch to each example's loss. A loss knows numbers only; a lift knows where they come from.

Each lift takes the loss as a function, and its part in `training.recipes.losses` says what it needs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from training.core.backbone import RewardModel
from training.core.batch import Demonstrations, LossOutput, Pairs
from training.core.policy import logps, token_logps

Loss = Callable[..., Tensor]
Objective = Callable[[nn.Module, Pairs | Demonstrations, Loss], LossOutput]


def pair_scores(model: RewardModel, batch: Pairs, loss: Loss) -> LossOutput:
    """Return the loss of (chosen scores, rejected scores, strength), each (P,)."""
    scores = model.scores(batch.tokens.input_ids, batch.tokens.attention_mask)
    chosen, rejected = scores.chunk(2)
    values = loss(chosen, rejected, batch.strength)
    return LossOutput(
        loss=values,
        weight=torch.ones_like(values),
        metrics={
            "accuracy": _wins(chosen, rejected),
            "margin": (chosen - rejected).detach(),
            "score": (chosen + rejected).detach() / 2,
        },
    )


def pair_logratios(model: nn.Module, batch: Pairs, loss: Loss) -> LossOutput:
    """Return the loss of the two log-ratios against the frozen reference, log π(y|x) - log π_ref(y|x), each (P,)."""
    assert batch.reference_logps is not None
    own = logps(model, batch.tokens)
    chosen, rejected = (own - batch.reference_logps).chunk(2)
    values = loss(chosen, rejected)
    return LossOutput(
        loss=values,
        weight=torch.ones_like(values),
        metrics={
            "accuracy": _wins(chosen, rejected),
            "margin": (chosen - rejected).detach(),
            # Both may fall together while the loss looks fine: then the model forgets how to answer at all.
            "chosen_logratio": chosen.detach(),
            "rejected_logratio": rejected.detach(),
            "chosen_logp": own.chunk(2)[0].detach(),
        },
    )


def imitation(model: nn.Module, batch: Demonstrations, loss: Loss) -> LossOutput:
    """Return the loss of (token log-probabilities, completion mask), each example weighing its tokens."""
    tokens = batch.tokens
    values = loss(token_logps(model, tokens), tokens.completion_mask)
    return LossOutput(loss=values, weight=tokens.completion_mask.sum(-1) * batch.weight)


def _wins(chosen: Tensor, rejected: Tensor) -> Tensor:
    """Return (P,): 1 where the chosen one is ahead, ½ where they are equal."""
    gap = (chosen - rejected).detach()
    return (gap > 0).float() + 0.5 * (gap == 0).float()
