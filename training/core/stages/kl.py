"""How the reward pays for leaving the reference: the slot `kl`. What it gives is the reward of each token.

The estimate is k1, log π - log π_ref of the token that was drawn: unbiased, and negative where the policy found a
token less likely than the reference does. It is part of the reward and has no gradient; a penalty in the loss is
`kl_weight` of the updates, and another thing.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from training.core.masked import masked_sum
from training.core.rollout import Rollout, last_token


def terminal(rollout: Rollout) -> Rollout:
    """Put the reward on each completion's last token, and charge nothing.

    Where a scorer knows which token earned what, each has its own, and what shapes and penalties have made of their sum
    stands on the last: the sum is the reward in any case.
    """
    assert rollout.reward is not None
    credit = torch.zeros_like(rollout.logps) if rollout.credit is None else rollout.credit
    left = (rollout.reward - masked_sum(credit, rollout.mask)).unsqueeze(1).expand_as(rollout.logps)
    return replace(rollout, token_reward=credit + torch.where(last_token(rollout.mask), left, 0.0))


def fixed(rollout: Rollout, *, kl: float) -> Rollout:
    """r_t = 1[t is last] · r - β · k1_t. arXiv:1909.08593, eq. 2; PPO-max, arXiv:2307.04964, eq. 15.

    Where a scorer knows which token earned what, the first term is `terminal`'s.
    """
    charged = terminal(rollout)
    assert charged.token_reward is not None
    return replace(charged, token_reward=charged.token_reward - kl * k1(rollout)).told(kl_coefficient=kl)


class Adaptive:
    """β follows a target: β ← β · (1 + clip(KL / target - 1, ±0.2) · n / horizon). arXiv:1909.08593, section 2.2.

    KL is the mean over completions of Σ_t k1, and n the number of completions; the change holds from the next step on.
    """

    def __init__(self, *, kl: float, kl_target: float, kl_horizon: int) -> None:
        self.coefficient = kl
        self.target = kl_target
        self.horizon = kl_horizon

    def __call__(self, rollout: Rollout) -> Rollout:
        charged = fixed(rollout, kl=self.coefficient)
        spent = float(masked_sum(k1(rollout), rollout.mask).mean())
        error = min(max(spent / self.target - 1, -0.2), 0.2)
        self.coefficient *= 1 + error * min(len(rollout) / self.horizon, 1.0)
        return charged

    def state_dict(self) -> dict[str, float]:
        return {"coefficient": self.coefficient}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.coefficient = state["coefficient"]


def budget(rollout: Rollout, *, kl_budget: float) -> Rollout:
    """r ← max{1 - log(π / π_ref) / KL_max, 0} · r, on the last token. CGPO, arXiv:2409.20370, eq. 11.

    The log-ratio is that of the whole completion. It multiplies where `fixed` subtracts, so an answer that is KL_max
    nats likelier than under the reference is worth nothing, whatever its reward; the share of such is `budget_spent`.
    It asks for rewards that are never below 0: a negative one would rise with the distance.
    """
    assert rollout.reward is not None
    left = (1 - masked_sum(k1(rollout), rollout.mask) / kl_budget).clamp(min=0)
    return terminal(replace(rollout, reward=left * rollout.reward)).told(budget_spent=float((left == 0).float().mean()))


def k1(rollout: Rollout) -> Tensor:
    """Return log π - log π_ref of each token, (B, T)."""
    assert rollout.reference_logps is not None
    return (rollout.logps - rollout.reference_logps).masked_fill(~rollout.mask, 0.0)
