"""CPL. By hand at α = 0.1, λ = 0.5: -3 and -8 nats give 0.1 · (-3 + 4) = 0.1 and -log σ(0.1) = 0.6443966601."""

from __future__ import annotations

import math

import pytest
import torch

from training.core.losses.cpl import cpl
from training.core.losses.dpo import dpo


def test_hand_computed_number():
    loss = cpl(torch.tensor([-3.0]), torch.tensor([-8.0]), alpha=0.1, bias=0.5)
    assert loss.item() == pytest.approx(0.6443966601, abs=1e-7)


def test_on_log_ratios_without_bias_it_is_dpo():
    generator = torch.Generator().manual_seed(0)
    chosen, rejected = 10 * torch.randn(2, 32, generator=generator)
    ours = cpl(chosen, rejected, alpha=0.3, bias=1.0)
    torch.testing.assert_close(ours, dpo(chosen, rejected, beta=0.3, label_smoothing=0.0), atol=1e-6, rtol=0)


def test_only_with_bias_it_matters_how_likely_both_are():
    """A constant taken from both leaves plain CPL alone; with λ = 0.5 both have to stay likely."""
    chosen, rejected = torch.tensor([-2.0]), torch.tensor([-3.0])
    for bias, grows in ((1.0, False), (0.5, True)):
        before, after = (cpl(chosen - c, rejected - c, alpha=1.0, bias=bias).item() for c in (0.0, 5.0))
        assert (after > before + 0.1) == grows and math.isfinite(after)
