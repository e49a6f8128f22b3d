"""PPO's arithmetic against the numbers that verl's own functions gave for the same inputs, to 1e-6.

`golden/verl_core_algos.json` has the inputs and what came out, with version, functions and settings. Two of ours
differ on purpose and are brought to theirs here: whitening divides by the deviation of the population, theirs has
n - 1 below; and theirs clips twice where an advantage is below 0, which the stored setting puts out of reach.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from training.core import updates
from training.core.batch import Tokens
from training.core.rollout import Models, Rollout
from training.core.stages import advantage, kl

KEPT = json.loads((Path(__file__).parent / "golden" / "verl_core_algos.json").read_text())
GIVEN, FOUND = KEPT["inputs"], KEPT["outputs"]


class Told(nn.Module):
    """A policy over two tokens that gives token 0 at each place the log-probability that it was told."""

    def __init__(self, logps: Tensor) -> None:
        super().__init__()
        ahead = logps.roll(-1, dims=1)  # the state before a token says it
        self.states = torch.stack([ahead, torch.log1p(-ahead.exp())], -1)
        self.out = nn.Linear(2, 2, bias=False)
        nn.init.eye_(self.out.weight)

    def get_output_embeddings(self) -> nn.Module:
        return self.out

    def forward(self, input_ids: Tensor, **_: object) -> SimpleNamespace:
        return SimpleNamespace(logits=self.out(self.states))


class ToldCritic(nn.Module):
    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = values

    def forward(self, tokens: Tokens) -> Tensor:
        return self.values


def table(rows) -> Tensor:
    """Return rows of completions (B, T) behind a prompt of one token."""
    return nn.functional.pad(torch.tensor(rows), (1, 0))


def written(**more) -> Rollout:
    lengths = torch.tensor(GIVEN["lengths"]).unsqueeze(1)
    mask = nn.functional.pad(torch.arange(int(lengths.max())) < lengths, (1, 0))
    return Rollout(
        prompts=([],) * len(mask),
        texts=("",) * len(mask),
        tokens=Tokens(torch.zeros_like(mask, dtype=torch.long), torch.ones_like(mask, dtype=torch.long), mask),
        group=torch.tensor(GIVEN["group"]),
        ended=torch.ones(len(mask), dtype=torch.bool),
        entropy=torch.zeros(mask.shape),
        values=table(GIVEN["values"]),
        reference_logps=table(GIVEN["reference_logps"]),
        token_reward=table(GIVEN["token_rewards"]),
        **{"logps": table(GIVEN["old_logps"]), **more},
    )


def same(ours: Tensor, theirs) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)


def mean_of(out) -> Tensor:
    return (out.loss * out.weight).sum() / out.weight.sum()


def test_generalised_advantages_and_returns():
    kept = FOUND["gae"]
    knobs = {"gamma": kept["settings"]["gamma"], "gae_lambda": kept["settings"]["lam"]}
    plain = advantage.gae(written(), **knobs, whiten=False)
    same(plain.returns, table(kept["returns"]))
    same(plain.advantages, (table(kept["returns"]) - plain.values) * plain.mask)
    n = int(plain.mask.sum())
    whitened = advantage.gae(written(), **knobs, whiten=True).advantages
    same(whitened * ((n - 1) / n) ** 0.5, table(kept["whitened_advantages"]))


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("grpo", lambda made: advantage.group_norm(made, scale_by_group=True)),
        ("dr_grpo", lambda made: advantage.group_norm(made, scale_by_group=False)),
        ("rloo", advantage.leave_one_out),
    ],
)
def test_advantages_within_groups(name, stage):
    same(stage(written()).advantages, table(FOUND[name]["advantages"]))


def test_policy_loss_and_value_loss_with_what_is_clipped():
    models = Models(Told(table(GIVEN["logps"])), critic=ToldCritic(table(GIVEN["new_values"])))
    made = written(advantages=table(GIVEN["advantages"]), returns=table(GIVEN["returns"]))
    policy, value = FOUND["policy"], FOUND["value"]
    knobs = {"clip": policy["settings"]["cliprange"], "value_clip": value["settings"]["cliprange_value"]}
    alone = updates.ppo(models, made, **knobs, value_weight=0.0)
    same(mean_of(alone), torch.tensor(policy["loss"]))
    same(mean_of(updates.ppo(models, made, **knobs, value_weight=1.0)), torch.tensor(policy["loss"] + value["loss"]))
    assert 0 < policy["clip_share"] < 1 and 0 < value["clip_share"] < 1, "the stored losses clip some tokens"
    wider = updates.ppo(models, made, clip=9.0, value_clip=9.0, value_weight=1.0)
    assert abs(mean_of(wider) - policy["loss"] - value["loss"]) > 1e-3, "and it matters that they do"


def test_estimates_of_the_divergence():
    now = table(GIVEN["logps"])
    same(kl.k1(written(logps=now)), table(FOUND["kl"]["k1"]))
    made = written()
    made = replace(made, advantages=torch.zeros(made.mask.shape))
    for name in ("k2", "k3"):
        out = updates.clipped(Models(Told(now)), made, clip=0.2, kl_weight=1.0, kl_estimate=name)
        same(out.loss, table(FOUND["kl"][name]).sum(1) / made.mask.sum(1))
