"""The brake of SAFE by hand: when it pulls, how hard, and what it remembers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.core.stages.test_stages import rollout
from training.core.critic import soft_minimum
from training.core.rollout import Rollout
from training.core.stages.brake import CLIMBING, CONVERGED, PLATEAU, WARM_UP, Predictive

KNOBS = {"threshold": 0.3, "threshold_low": 0.1, "threshold_high": 0.6, "penalty": 0.1, "preview": 0.5}


def at(distance: float, *, entropy: float = 2.0, reward: float = 0.5) -> Rollout:
    """A rollout so many nats a token from its reference."""
    made = rollout([reward] * 4)
    mask = made.mask.float()
    return replace(made, reference_logps=made.logps - distance * mask, entropy=entropy * mask)


def test_it_pulls_beyond_the_threshold_alone_and_harder_where_entropy_is_lost():
    """Warm-up: τ = 1.5 (.3 + u) with e = -.001 and u = .3 e + .01 e + .05 e = -.00036, so τ = .44946.

    After one rollout at 10 nats k_s is 1 and k_l .1: κ = .2 g (1 - τ), with g = 2 / 2.1 at 2 nats of entropy and 2 / .3
    at .2. To come are 1 + .9 nats, so the step is scaled by .5 / 1.9. The reward is not charged.
    """
    made = Predictive(**KNOBS)(at(10.0))
    assert made.metrics["kl_threshold"] == pytest.approx(0.44946)
    assert made.kl_weight.tolist() == pytest.approx([0.2 * 2 / 2.1 * (1 - 0.44946)] * 4)
    assert made.step_scale.tolist() == pytest.approx([0.5 / 1.9] * 4)
    torch.testing.assert_close(made.token_reward.sum(1), made.reward)
    poor = Predictive(**KNOBS)(at(10.0, entropy=0.2))
    assert float(poor.kl_weight[0] / made.kl_weight[0]) == pytest.approx((2 / 0.3) / (2 / 2.1))
    rich = Predictive(**KNOBS)(at(10.0, entropy=20.0))
    assert rich.metrics["kl_gate"] == 0.5
    near = Predictive(**KNOBS)(at(1.0))
    assert not near.kl_weight.any() and near.step_scale.tolist() == [1.0] * 4
    behind = Predictive(**KNOBS)(at(-10.0))  # an estimate below 0 is no distance, and goes into no mean
    assert behind.metrics["kl_short"] == 0.0


def test_the_threshold_tightens_while_the_reward_falls():
    stage = Predictive(**KNOBS)
    even = [stage(at(1.0, reward=0.5)).metrics["kl_threshold"] for _ in range(10)][-1]
    fallen = stage(at(1.0, reward=0.0)).metrics["kl_threshold"]
    assert fallen < even
    assert stage(at(1.0, reward=1.0)).metrics["kl_threshold"] > fallen


def test_phases_are_told_by_the_rewards_of_late():
    stage = Predictive(**KNOBS)
    told = [int(stage(at(0.0, reward=r)).metrics["kl_phase"]) for r in [0.2] * 100 + [0.9] * 100]
    assert told[48] == WARM_UP and told[60] == PLATEAU and told[110] == CLIMBING and told[199] == CONVERGED


def test_what_it_remembers_makes_the_next_step_the_same():
    stage, again = Predictive(**KNOBS), Predictive(**KNOBS)
    for step in range(60):
        stage(at(0.1 * step, reward=0.01 * step))
    again.load_state_dict(stage.state_dict())
    assert again(at(3.0)).metrics == stage(at(3.0)).metrics
    assert again.state_dict() == stage.state_dict()


def test_the_soft_minimum_is_between_minimum_and_mean_and_hardens():
    one, other = torch.tensor([1.0, -2.0, 3.0]), torch.tensor([2.0, 0.5, 3.0])
    soft = soft_minimum(one, other, softness=0.3)
    lower, mean = torch.minimum(one, other), (one + other) / 2
    assert (soft[:2] > lower[:2]).all() and (soft[:2] < mean[:2]).all()
    assert float(soft[2]) == pytest.approx(3.0)
    torch.testing.assert_close(soft_minimum(one, other, softness=1e-3), lower, atol=1e-3, rtol=0)
