"""Advantages against TRL's arithmetic.

TRL has its advantages inside methods that need a trainer with a model; what is compared with here is what these do on
tensors in its release 1.16 (`grpo_trainer`, `rloo_trainer`), with its own deviation.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from trl.trainer.utils import nanstd

from tests.core.stages.test_stages import rollout
from training.core.heads import Scores
from training.core.stages import advantage, kl

GROUPS, EACH = 4, 5


def drawn(seed: int, columns: int = 1):
    rewards = torch.randn(GROUPS * EACH, columns, generator=torch.Generator().manual_seed(seed))
    groups = tuple(number for number in range(GROUPS) for _ in range(EACH))
    made = rollout(rewards[:, 0].tolist(), groups)
    names = tuple(f"s{n}" for n in range(columns))
    return rewards, kl.terminal(replace(made, reward=rewards[:, 0], scores=Scores(rewards, names)))


def of_completions(made) -> torch.Tensor:
    return made.advantages.sum(1) / made.mask.sum(1)


@pytest.mark.parametrize("scale", [True, False])
def test_grpo_s_advantages_are_trl_s(scale):
    rewards, made = drawn(0)
    values = rewards[:, 0]
    mean = torch.nanmean(values.view(-1, EACH), dim=1).repeat_interleave(EACH)
    deviation = nanstd(values.view(-1, EACH), dim=1).repeat_interleave(EACH)
    theirs = (values - mean) / (deviation + 1e-4) if scale else values - mean
    ours = of_completions(advantage.group_norm(made, scale_by_group=scale))
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_gdpo_s_advantages_are_trl_s():
    rewards, made = drawn(1, columns=3)
    weights = torch.tensor([1.0, 0.5, -2.0])
    grouped = rewards.view(-1, EACH, 3)
    each = (grouped - grouped.nanmean(1, keepdim=True)) / (nanstd(grouped, dim=1, keepdim=True) + 1e-4)
    total = (each.view(-1, 3) * weights).nansum(1)
    theirs = (total - total.nanmean()) / (nanstd(total) + 1e-4)
    # Without a price on leaving the reference there is nothing to add to the standardised sum.
    made = replace(made, reward=torch.zeros(len(rewards)), token_reward=torch.zeros_like(made.logps))
    ours = of_completions(advantage.group_norm_each(made, score_weights="s0=1, s1=0.5, s2=-2"))
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_rloo_s_advantages_are_trl_s():
    rewards, made = drawn(2)
    grouped = rewards[:, 0].view(-1, EACH)
    baselines = (grouped.sum(1, keepdim=True) - grouped) / (EACH - 1)
    ours = of_completions(advantage.leave_one_out(made))
    torch.testing.assert_close(ours, (grouped - baselines).flatten(), atol=1e-6, rtol=0)
