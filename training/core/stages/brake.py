"""A brake on the distance from the reference that knows where the policy is going: in the slot `kl`.

Unlike the prices of `stages.kl` it charges nothing in the reward. It gives a weight, by which an update of its own adds
the divergence to its loss, where it has a gradient.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from itertools import islice
from statistics import fmean, pstdev
from typing import Any

import torch

from training.core.masked import masked_sum
from training.core.rollout import Rollout
from training.core.stages.kl import k1, terminal

WINDOW = 50  # iterations that are compared with as many before, to tell the phase
WARM_UP, CLIMBING, PLATEAU, CONVERGED = range(4)
PHASES = {WARM_UP: 1.5, CLIMBING: 1.2, PLATEAU: 0.8, CONVERGED: 1.0}  # factors of the threshold


class Predictive:
    """Give the weight of KL(π ‖ π_ref) in the loss, by distance, entropy and reward. SAFE, arXiv:2602.04651.

    k is the mean of k1 over the tokens of a rollout, never below 0 (an estimate may be, a divergence is not):
    k_s ← .9 k_s + .1 k, k_l ← .99 k_l + .01 k. The threshold is τ = clip((τ₀ + u) φ, low, high), with
    u = .3 e + .01 I + .05 Δe a PID of how fast the reward rises, e = Δr̄ - .001, r̄ ← .95 r̄ + .05 r, I within ±1: while
    the reward falls the threshold does too. φ is the phase's factor. Beyond τ the penalty p g (k_s - τ)² has the
    derivative κ = 2 p g (k_s - τ), which is the weight; the gate g = max(½, 2 / (H + .1)) is the larger, the less
    entropy H (nats a token) is left. The phases go by rewards between 0 and 1.

    The paper's code takes the penalty as a plain number, which changes no gradient, and never calls its preview. Ours:
    the distance to come is k_s + max(k_s - k_l, 0); where that is above `preview`, the step of the policy is scaled by
    preview / it. Every moment, the integral included, is in the checkpoint.
    """

    def __init__(
        self, *, threshold: float, threshold_low: float, threshold_high: float, penalty: float, preview: float
    ) -> None:
        self.threshold = threshold
        self.low, self.high = threshold_low, threshold_high
        self.penalty = penalty
        self.preview = preview
        self.short, self.long = 0.0, 0.0
        self.reward: float | None = None
        self.integral, self.error = 0.0, 0.0
        self.steps = 0
        self.rewards: deque[float] = deque(maxlen=2 * WINDOW)

    def __call__(self, rollout: Rollout) -> Rollout:
        assert rollout.reward is not None
        tokens = float(rollout.mask.sum())
        distance = max(float(masked_sum(k1(rollout), rollout.mask).sum()) / tokens, 0.0)
        entropy = float(masked_sum(rollout.entropy, rollout.mask).sum()) / tokens
        self.short = 0.9 * self.short + 0.1 * distance
        self.long = 0.99 * self.long + 0.01 * distance
        correction = self._follow(float(rollout.reward.mean()))
        phase = self.phase()
        limit = min(max((self.threshold + correction) * PHASES[phase], self.low), self.high)
        gate = max(0.5, 2.0 / (entropy + 0.1))
        weight = 2 * self.penalty * gate * max(self.short - limit, 0.0)
        ahead = self.short + max(self.short - self.long, 0.0)
        scale = min(1.0, self.preview / ahead) if ahead > 0 else 1.0
        ones = torch.ones(len(rollout), device=rollout.mask.device)
        return replace(terminal(rollout), kl_weight=weight * ones, step_scale=scale * ones).told(
            kl_short=self.short,
            kl_long=self.long,
            kl_threshold=limit,
            kl_gate=gate,
            kl_weight=weight,
            kl_phase=float(phase),
            step_scale=scale,
        )

    def _follow(self, reward: float) -> float:
        """Return what the PID of the reward's velocity adds to the threshold; the first reward has none yet."""
        self.steps += 1
        self.rewards.append(reward)
        before = reward if self.reward is None else self.reward
        self.reward = 0.95 * before + 0.05 * reward
        error = self.reward - before - 0.001
        self.integral = min(max(self.integral + error, -1.0), 1.0)
        change, self.error = error - self.error, error
        return 0.3 * error + 0.01 * self.integral + 0.05 * change

    def phase(self) -> int:
        """Return where the run is: warm-up, climbing, plateau or converged."""
        if self.steps < WINDOW:
            return WARM_UP
        late = list(islice(reversed(self.rewards), WINDOW))
        early = list(self.rewards)[:-WINDOW]
        if early and fmean(late) > fmean(early) + 0.01:
            return CLIMBING
        return CONVERGED if pstdev(late) < 0.02 and fmean(late) > 0.7 else PLATEAU

    def state_dict(self) -> dict[str, Any]:
        kept = ("short", "long", "reward", "integral", "error", "steps")
        return {name: getattr(self, name) for name in kept} | {"rewards": list(self.rewards)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, deque(value, maxlen=2 * WINDOW) if name == "rewards" else value)
