"""A second objective that is to be kept within a limit: the slot `constrain`. It gives the reward that is climbed."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from typing import Any

from torch import Tensor

from training.core.job import RunError
from training.core.rollout import Rollout

REWARD, COST = "reward", "cost"


class Lagrangian:
    """r ← (r - λ c) / (1 + λ), with λ rising while the mean cost is above the limit. arXiv:2310.12773, eq. 9.

    λ is e^ν and ν climbs (mean cost - limit) · λ, where the mean is over the last `cost_window` completions, none left
    out by a filter (this slot stands before it). As in the authors' code λ starts moving after the first step and stays
    below `multiplier_limit`; there the run says that the limit may be out of reach.

    The paper has a critic for the reward and one for the cost and combines advantages; advantages are linear in the
    rewards, so one critic of the combined reward is the same but for the steps it lags behind when λ changes. The
    charge for leaving the reference is added behind this slot, so its weight is β whatever λ is: the authors get that
    by charging it to reward and cost with opposite signs.
    """

    def __init__(
        self,
        *,
        cost_limit: float,
        multiplier: float,
        multiplier_rate: float,
        multiplier_limit: float,
        cost_window: int,
    ) -> None:
        self.limit = cost_limit
        self.log = math.log(multiplier)
        self.rate = multiplier_rate
        self.highest = multiplier_limit
        self.costs: deque[float] = deque(maxlen=cost_window)

    @property
    def multiplier(self) -> float:
        return min(math.exp(self.log), self.highest)

    def __call__(self, rollout: Rollout) -> Rollout:
        cost = _cost(rollout)
        self.costs.extend(cost.tolist())
        self._observe(sum(self.costs) / len(self.costs) - self.limit)
        return _combined(rollout, cost, self.multiplier, self.limit)

    def _observe(self, excess: float) -> None:
        self.log = min(self.log + self.rate * excess * self.multiplier, math.log(self.highest))

    def state_dict(self) -> dict[str, Any]:
        return {"log": self.log, "costs": list(self.costs)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.log = state["log"]
        self.costs.extend(state["costs"])


class PIDLagrangian:
    """As `Lagrangian`, with λ = max(0, k_p e + k_i Σ e), e = mean cost - limit. arXiv:2007.03964, algorithm 2.

    On tight limits the multiplicative rule swings: it goes on pushing long after the cost has come down (card 5). A
    proportional term answers at once, and the sum, which never falls below 0, holds what is needed to stay there.
    """

    def __init__(
        self, *, cost_limit: float, proportional: float, integral: float, multiplier_limit: float, cost_window: int
    ) -> None:
        self.limit = cost_limit
        self.proportional = proportional
        self.integral = integral
        self.highest = multiplier_limit
        self.costs: deque[float] = deque(maxlen=cost_window)
        self.sum = 0.0

    def __call__(self, rollout: Rollout) -> Rollout:
        cost = _cost(rollout)
        self.costs.extend(cost.tolist())
        excess = sum(self.costs) / len(self.costs) - self.limit
        self.sum = min(max(self.sum + self.integral * excess, 0.0), self.highest)
        multiplier = min(max(self.proportional * excess + self.sum, 0.0), self.highest)
        return _combined(rollout, cost, multiplier, self.limit)

    def state_dict(self) -> dict[str, Any]:
        return {"sum": self.sum, "costs": list(self.costs)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sum = state["sum"]
        self.costs.extend(state["costs"])


def _cost(rollout: Rollout) -> Tensor:
    if rollout.scores is None or COST not in rollout.scores.names:
        there = ", ".join(rollout.scores.names) if rollout.scores is not None else "none"
        raise RunError(
            f"This recipe holds a cost within a limit, and the scores that there are have none called {COST}: {there}. "
            f"Train the recipe cost-model, and give it as the scorer {COST}."
        )
    return rollout.scores.named(COST).float()


def _combined(rollout: Rollout, cost: Tensor, multiplier: float, limit: float) -> Rollout:
    assert rollout.reward is not None
    mean = float(cost.mean())
    return replace(rollout, reward=(rollout.reward - multiplier * cost) / (1 + multiplier)).told(
        cost=mean, multiplier=multiplier, cost_above_limit=mean - limit
    )
