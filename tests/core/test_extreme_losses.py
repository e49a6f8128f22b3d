"""However sure a policy is, for or against: each loss of log-probabilities stays a number, and so does its gradient."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from training.core.losses.a_lol import a_lol
from training.core.losses.cpl import cpl
from training.core.losses.ift import ift
from training.core.losses.refuel import refuel
from training.core.losses.sft import nll

ALL = torch.ones(1, 3, dtype=torch.bool)
OF_COMPLETIONS = {
    "a-lol": partial(
        a_lol, reference_logps=torch.zeros(1), advantage=torch.ones(1), importance="sequence", ratio_clip=0.9
    ),
    "a-lol unclipped below": partial(
        a_lol, reference_logps=torch.zeros(1), advantage=-torch.ones(1), importance="sequence", ratio_clip=1.5
    ),
    "cpl": partial(cpl, rejected=torch.zeros(1), alpha=1.0, bias=0.5),
    "refuel": partial(refuel, rejected=torch.zeros(1), gap=torch.ones(1), eta=1.0),
}
OF_TOKENS = {"sft": nll, "ift": partial(ift, decay=0.9), "ift without decay": partial(ift, decay=0.0)}


@pytest.mark.parametrize("name", OF_COMPLETIONS)
@pytest.mark.parametrize("logp", [1e6, 0.0, -1e6])
def test_of_whole_completions(name, logp):
    given = torch.tensor([logp], requires_grad=True)
    loss = OF_COMPLETIONS[name](given)
    loss.sum().backward()
    assert torch.isfinite(loss).all() and torch.isfinite(given.grad).all()


@pytest.mark.parametrize("name", OF_TOKENS)
@pytest.mark.parametrize("logps", [[0.0, 0.0, 0.0], [-1e6, -1e6, -1e6], [-1e6, 0.0, -1e-30]], ids=str)
def test_of_tokens(name, logps):
    given = torch.tensor([logps], requires_grad=True)
    loss = OF_TOKENS[name](given, ALL)
    loss.sum().backward()
    assert torch.isfinite(loss).all() and torch.isfinite(given.grad).all()
    assert -max(logps) <= loss.item() * (1 + 1e-6) and loss.item() <= -min(logps) * (1 + 1e-6), "a weighted mean"
