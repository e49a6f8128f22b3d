"""How a policy that learns on its own answers is doing, in figures; `training.recipes.alarms` says what they mean."""

from __future__ import annotations

from training.core.masked import masked_sum
from training.core.rollout import Rollout
from training.core.stages.kl import k1


def figures(rollout: Rollout) -> dict[str, float]:
    """Return how the policy is doing, before anything was left out."""
    length = rollout.mask.sum(1).float()
    told = {
        "entropy": float(masked_sum(rollout.entropy, rollout.mask).sum() / length.sum()),
        "length": float(length.mean()),
        "ended_share": float(rollout.ended.float().mean()),
    }
    if rollout.reference_logps is not None:
        spent = masked_sum(k1(rollout), rollout.mask)
        told |= {"kl": float(spent.mean()), "kl_per_token": float(spent.sum() / length.sum())}
    return told
