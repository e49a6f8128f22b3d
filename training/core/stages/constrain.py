"""A second objective that is to be kept within a limit: the slot `constrain`. It gives the reward that is climbed."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from typing import Any

from torch import Tensor

from training.core.job import RunError
from training.core.rollout import Rollout
from training.core.selection import COST


class Lagrangian:
    """r ← (r - λ c) / (1 + λ), λ following how far the cost is above its limit. arXiv:2310.12773, eq. 9.

    How far: the mean over the last `cost_window` completions, none left out by a filter (this slot stands before it),
    less the limit. Where λ comes to its highest value the limit may be out of reach.

    The paper has a critic for the reward and one for the cost and combines advantages; advantages are linear in the
    rewards, so one critic of the combined reward is the same but for the steps it lags behind when λ changes. The
    charge for leaving the reference is added behind this slot, so its weight is β whatever λ is: the authors get that
    by charging it to reward and cost with opposite signs.
    """

    def __init__(self, controller: Climbing | PID, *, limit: float, window: int) -> None:
        self.controller = controller
        self.limit = limit
        self.costs: deque[float] = deque(maxlen=window)

    def __call__(self, rollout: Rollout) -> Rollout:
        cost = _cost(rollout)
        assert rollout.reward is not None
        self.costs.extend(cost.tolist())
        multiplier = self.controller.follow(sum(self.costs) / len(self.costs) - self.limit)
        mean = float(cost.mean())
        return replace(rollout, reward=(rollout.reward - multiplier * cost) / (1 + multiplier)).told(
            cost=mean, multiplier=multiplier, cost_above_limit=mean - self.limit
        )

    def state_dict(self) -> dict[str, Any]:
        return {"state": self.controller.state, "costs": list(self.costs)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.controller.state = state["state"]
        self.costs.extend(state["costs"])


class Climbing:
    """λ = e^ν, and ν climbs rate · excess · λ up to `highest`. arXiv:2310.12773, eq. 10; `state` is ν.

    As in the authors' code λ moves in the first step already.
    """

    def __init__(self, *, start: float, rate: float, highest: float) -> None:
        self.state = math.log(start)
        self.rate = rate
        self.highest = highest

    def follow(self, excess: float) -> float:
        """Return λ after it was seen how far the mean cost is above the limit."""
        before = min(math.exp(self.state), self.highest)
        self.state = min(self.state + self.rate * excess * before, math.log(self.highest))
        return min(math.exp(self.state), self.highest)


class PID:
    """λ = max(0, k_p e + k_i Σ e) up to `highest`. arXiv:2007.03964, algorithm 2; `state` is the sum, never below 0.

    On tight limits the multiplicative rule swings: it goes on pushing long after the cost has come down (card 5). A
    proportional term answers at once, and the sum holds what is needed to stay there.
    """

    def __init__(self, *, proportional: float, integral: float, highest: float) -> None:
        self.state = 0.0
        self.proportional = proportional
        self.integral = integral
        self.highest = highest

    def follow(self, excess: float) -> float:
        """Return λ after it was seen how far the mean cost is above the limit."""
        self.state = min(max(self.state + self.integral * excess, 0.0), self.highest)
        return min(max(self.proportional * excess + self.state, 0.0), self.highest)


def climbing(
    *, cost_limit: float, multiplier: float, multiplier_rate: float, multiplier_limit: float, cost_window: int
) -> Lagrangian:
    """Return the stage of Safe RLHF, whose weight of the cost climbs by factors. arXiv:2310.12773."""
    controller = Climbing(start=multiplier, rate=multiplier_rate, highest=multiplier_limit)
    return Lagrangian(controller, limit=cost_limit, window=cost_window)


def pid(
    *, cost_limit: float, proportional: float, integral: float, multiplier_limit: float, cost_window: int
) -> Lagrangian:
    """Return the stage whose weight of the cost follows at once and settles. arXiv:2007.03964."""
    controller = PID(proportional=proportional, integral=integral, highest=multiplier_limit)
    return Lagrangian(controller, limit=cost_limit, window=cost_window)


def _cost(rollout: Rollout) -> Tensor:
    if rollout.scores is None or COST not in rollout.scores.names:
        there = ", ".join(rollout.scores.names) if rollout.scores is not None else "none"
        raise RunError(
            f"This recipe holds a cost within a limit, and the scores that there are have none called {COST}: {there}. "
            f"Train the recipe cost-model, and give it as the scorer {COST}."
        )
    return rollout.scores.named(COST).float()
