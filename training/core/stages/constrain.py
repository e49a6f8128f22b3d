"""A second objective that is to be kept within a limit: the slot `constrain`. It gives the reward that is climbed."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from statistics import fmean, pstdev
from typing import Any

from torch import Tensor

from training.core.job import RunError
from training.core.rollout import Rollout
from training.core.selection import COST
from training.core.stats import t_quantile
from training.recipes.note import Note


class Lagrangian:
    """r ← (r - λ c) / (1 + λ), λ following how far the cost is above its limit. arXiv:2310.12773, eq. 9.

    How far: the mean over the last `cost_window` completions, none left out by a filter (this slot stands before it),
    less the limit. Of an iteration with more completions than that it is the mean over all: a part of them would be
    those of some prompts alone. Where λ comes to its highest value the limit may be out of reach.

    The paper has a critic for the reward and one for the cost and combines advantages; advantages are linear in the
    rewards, so one critic of the combined reward is the same but for the steps it lags behind when λ changes. The
    charge for leaving the reference is added behind this slot, so its weight is β whatever λ is: the authors get that
    by charging it to reward and cost with opposite signs.
    """

    def __init__(self, controller: Climbing | PID, *, limit: float, window: int) -> None:
        self.controller = controller
        self.limit = limit
        self.window = window
        self.costs: deque[float] = deque()

    def __call__(self, rollout: Rollout) -> Rollout:
        cost = _cost(rollout)
        assert rollout.reward is not None
        self.costs = deque([*self.costs, *cost.tolist()], maxlen=max(self.window, len(cost)))
        charged, mean_charged = self.charged(cost)
        multiplier = self.controller.follow(mean_charged - self.limit)
        mean = float(cost.mean())
        return replace(rollout, reward=(rollout.reward - multiplier * charged) / (1 + multiplier)).told(
            cost=mean, multiplier=multiplier, cost_above_limit=mean - self.limit
        )

    def charged(self, cost: Tensor) -> tuple[Tensor, float]:
        """Return what each completion (B,) is charged, and what of the window is held against the limit."""
        return cost, fmean(self.costs)

    def state_dict(self) -> dict[str, Any]:
        return {"state": self.controller.state, "costs": list(self.costs)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.controller.state = state["state"]
        self.costs.extend(state["costs"])


class Pessimistic(Lagrangian):
    """As Lagrangian, held against what a safety test would say: mean + κ · deviation. HC-RLHF, arXiv:2506.08266.

    κ = C₁ t(1-δ, n-1) / √n + C₂ t(1-δ, m-1) / √m, with the n costs of the window and the m prompts of the test that
    will be. κ · deviation is one number for all completions, so charging it would have no gradient; each is charged
    c + κ (c² - 2 c μ) / 2s instead, whose expectation has the gradient of mean + κ · deviation, since
    ∇s = ∇(E c² - μ²) / 2s. As everywhere in this slot the sum is divided by 1 + λ, which the authors' code is not.
    """

    def __init__(
        self,
        controller: Climbing | PID,
        *,
        limit: float,
        window: int,
        delta: float,
        window_weight: float,
        test_weight: float,
        test_prompts: int,
    ) -> None:
        super().__init__(controller, limit=limit, window=window)
        self.delta = delta
        self.window_weight = window_weight
        self.test = test_weight * _width(delta, test_prompts)

    def charged(self, cost: Tensor) -> tuple[Tensor, float]:
        """See `Lagrangian.charged`; while all costs were the same there is no deviation to be charged."""
        mean, deviation = fmean(self.costs), pstdev(self.costs)
        if deviation == 0:
            return cost, mean
        kappa = self.window_weight * _width(self.delta, len(self.costs)) + self.test
        return cost + kappa * (cost.square() - 2 * cost * mean) / (2 * deviation), mean + kappa * deviation


def _width(delta: float, n: int) -> float:
    """Return t(1-δ, n-1) / √n: of a deviation, how far the bound of a mean of n is above it."""
    return t_quantile(1 - delta, n - 1) / math.sqrt(n)


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


def pessimistic(
    *,
    cost_limit: float,
    delta: float,
    test_prompts: int,
    window_weight: float,
    test_weight: float,
    proportional: float,
    integral: float,
    multiplier_limit: float,
    cost_window: int,
) -> Pessimistic:
    """Return the stage that aims at passing a safety test, and not only at the limit. arXiv:2506.08266.

    The authors let log λ climb by gradient steps, which swings (see `PID`); a swing ends above the limit as often as
    below, and the test is taken where training ends. So λ is held by the controller that settles.
    """
    return Pessimistic(
        PID(proportional=proportional, integral=integral, highest=multiplier_limit),
        limit=cost_limit,
        window=cost_window,
        delta=delta,
        window_weight=window_weight,
        test_weight=test_weight,
        test_prompts=test_prompts,
    )


def _cost(rollout: Rollout) -> Tensor:
    if rollout.scores is None or COST not in rollout.scores.names:
        there = ", ".join(rollout.scores.names) if rollout.scores is not None else "none"
        raise RunError(
            Note(
                "This recipe holds a cost within a limit, and the scores that there are have none called "
                "{scorer}: {scores}. Train the recipe cost-model, and give it as the scorer {scorer}.",
                scorer=COST,
                scores=there,
            )
        )
    return rollout.scores.named(COST).float()
