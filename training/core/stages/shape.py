"""A reward becomes one that is safer to climb: the slot `shape`. It stands between `combine` and everything else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from training.core.rollout import Rollout


def preference(rollout: Rollout, *, reward_scale: float) -> Rollout:
    """r ← mean over reference answers of σ(k · (r - r_ref)). Preference as reward (PAR), arXiv:2502.18770, eq. 8.

    It is bounded, steep where the answer is about as good as the reference, and the same whatever is added to the
    rewards of a prompt. `reward_scale` k should make the standard deviation of k · (r - r_ref) about 1 to 2; the share
    of answers where it is above 4, and the reward so flat that little is learned, is told as `shape_saturated`.
    """
    assert rollout.reward is not None and rollout.reference_rewards is not None
    gaps = reward_scale * (rollout.reward.unsqueeze(1) - rollout.reference_rewards)
    shaped = torch.sigmoid(gaps).mean(1)
    saturated = float((gaps.abs() > 4).float().mean())
    return replace(rollout, reward=shaped).told(shape_saturated=saturated)


def centred_log_sigmoid(rollout: Rollout) -> Rollout:
    """r ← log σ(r - r_85), with r_85 the 85th percentile of the reference answers' rewards. arXiv:2402.00742, eq. 7.

    The percentile is that of a normal distribution with the mean and deviation of this prompt's reference answers.
    """
    assert rollout.reward is not None and rollout.reference_rewards is not None
    references = rollout.reference_rewards
    high = references.mean(1) + 1.0364 * references.std(1, correction=0)
    return replace(rollout, reward=torch.nn.functional.logsigmoid(rollout.reward - high))


def length_penalty(rollout: Rollout, *, free_tokens: int, token_price: float) -> Rollout:
    """r ← r - price · max(0, tokens - free tokens). arXiv:2502.18770, appendix; arXiv:2405.07863, section 4."""
    assert rollout.reward is not None
    length = rollout.mask.sum(1)
    over = (length - free_tokens).clamp(min=0).to(rollout.reward.dtype)
    return replace(rollout, reward=rollout.reward - token_price * over)


class Normalised:
    """r ← clip((r - μ) / σ, ±limit), with the moments of all rewards so far. PPO-max, arXiv:2307.04964, section 5.3.

    μ and σ are Welford's running moments over every rollout of the run, this one included. With `centre` false only the
    scale is changed, as in the authors' `use_reward_scaling`: advantages are centred later anyhow.
    """

    def __init__(self, *, centre: bool, reward_limit: float) -> None:
        self.centre = centre
        self.limit = reward_limit
        self.count, self.mean, self.squares = 0.0, 0.0, 0.0

    def __call__(self, rollout: Rollout) -> Rollout:
        assert rollout.reward is not None
        values = rollout.reward.double()
        count = float(len(values))
        mean = float(values.mean())
        squares = float(((values - mean) ** 2).sum())
        # Chan's way to join two sets of moments; exact, whatever the size of the rollouts.
        whole = self.count + count
        self.squares += squares + (mean - self.mean) ** 2 * self.count * count / whole
        self.mean += (mean - self.mean) * count / whole
        self.count = whole
        deviation = max((self.squares / max(self.count - 1, 1)) ** 0.5, 1e-8)
        shaped = (values - (self.mean if self.centre else 0.0)) / deviation
        return replace(rollout, reward=shaped.clamp(-self.limit, self.limit).float())

    def state_dict(self) -> dict[str, float]:
        return {"count": self.count, "mean": self.mean, "squares": self.squares}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count, self.mean, self.squares = state["count"], state["mean"], state["squares"]
