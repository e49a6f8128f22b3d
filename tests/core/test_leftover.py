"""What is expected of a prompt's answers, what is thrown away, and what is refused."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path

import pytest
import torch

from tests.core.test_every_recipe import SMALL
from tests.core.worlds import outcome_rows
from training.core.backbone import load_policy
from training.core.batch import Outcomes, Tokens
from training.core.job import RunError
from training.core.leftover import advantage_bars, weight_bars
from training.core.losses.a_lol import a_lol
from training.core.objectives import leftover
from training.core.policy import logps
from training.recipes.base import RecipeError


def test_answers_that_were_not_better_than_expected_are_thrown_away_and_told(do, policy):
    """Half of the answers are worth 0.9 and half 0.2, to prompts that do not tell: 0.55 is expected of all."""
    rows = outcome_rows(60)
    spec, result = do("a-lol", model=policy, rows=rows, eval_share=0.4, value_epochs=20, **SMALL["fit"])
    kept, thrown = result.counts["trained_on"], result.counts["thrown_away"]
    assert result.metrics["kept_share"] == pytest.approx(kept / (kept + thrown))
    assert 0.3 < result.metrics["kept_share"] < 0.7
    assert result.metrics["advantage_low"] < 0 < result.metrics["advantage_high"]
    assert result.metrics["value_error"] < 0.2
    assert any("were better than expected and are learned from" in note for note in result.notes)
    told = json.loads((Path(spec.output) / result.files["leftover"]).read_text())
    advantages = told["advantages"]
    assert sum(bar["n"] for bar in advantages if bar["low"] >= 0) == told["kept"] == kept
    assert sum(bar["n"] for bar in advantages) == told["n"] == kept + thrown
    drawn = sum(bar["n"] for bar in told["weights"])
    assert 0 < drawn <= kept
    clipped = sum(bar["n"] for bar in told["weights"] if bar["low"] == bar["high"])
    assert result.metrics["weight_clipped_share"] == pytest.approx(clipped / drawn)
    assert result.metrics["logratio_low"] <= result.metrics["logratio_median"] <= result.metrics["logratio_high"]


def test_what_is_thrown_away_and_what_is_kept_share_no_bar():
    """Of a span of 0.6 a twelfth is 0.05: nothing and less ends at 0, the least above it begins there."""
    bars = advantage_bars([-0.1, 0.0, 1e-6, 0.5])
    assert [(bar["low"], bar["high"], bar["n"]) for bar in bars if bar["n"]] == [
        (-0.15, -0.1, 1),
        (-0.05, 0.0, 1),
        (0.0, 0.05, 1),
        (0.45, 0.5, 1),
    ]
    assert advantage_bars([-0.2, -0.2])[-1]["high"] <= 0


def test_what_the_clip_has_hold_of_is_apart_and_cannot_overflow():
    """1 is in the middle one of nine; e^1000 is no number, and e^-1000 is 0, below 0.1."""
    bars = weight_bars([0.0, 1000.0, -1000.0, math.log(1.95), math.log(1.8)], ratio_clip=0.9)
    assert [bar["n"] for bar in bars] == [1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 2]
    assert (bars[5]["low"], bars[5]["high"]) == (0.9, 1.1)
    assert weight_bars([-1000.0], ratio_clip=2.0)[0]["n"] == 0  # no ratio is below 0


def test_what_was_no_better_than_expected_is_measured_and_has_no_loss(policy):
    """Where no held-out answer is better, the mean is 0 and not a division by nothing."""
    model = load_policy(str(policy))[0]
    ids = torch.tensor([[1, 5, 6], [1, 7, 8]])
    tokens = Tokens(ids, torch.ones_like(ids), torch.tensor([[False, True, True]] * 2))
    batch = Outcomes(tokens, torch.tensor([-0.5, 0.5]), logps(model, tokens).detach())
    out = leftover(model, batch, partial(a_lol, importance="sequence", ratio_clip=0.9))
    expected = [0.0, -0.5 * float(batch.reference_logps[1])]
    assert out.loss.tolist() == pytest.approx(expected) and out.weight.tolist() == [1.0, 1.0]


def test_what_cannot_be_done_is_said(do, policy):
    with pytest.raises(RecipeError, match="Set eval_share above 0"):
        do("a-lol", model=policy, eval_share=0.0, **SMALL["fit"])
    rows = [{**row, "reward": 3.0} for row in outcome_rows(8)]
    with pytest.raises(RunError, match="Set reward_as to sigmoid"):
        do("a-lol", into="b", model=policy, rows=rows, eval_share=0.4, **SMALL["fit"])
