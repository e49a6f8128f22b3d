"""SimPO, ORPO and CPO: numbers by hand, TRL's own functions as oracle, and what each is for."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from training.core.losses.dpo import dpo
from training.core.losses.reference_free import cpo, orpo, simpo

CHOSEN, REJECTED = torch.tensor([-0.5]), torch.tensor([-1.0])


def test_simpo_by_hand():
    """2 · 0.5 - 0.4 = 0.6: -log σ(0.6) = 0.4374879506. At a gap of γ/β the loss is ln 2."""
    assert simpo(CHOSEN, REJECTED, beta=2.0, target_margin=0.4).item() == pytest.approx(0.4374879506, abs=1e-7)
    assert simpo(CHOSEN, REJECTED, beta=2.0, target_margin=1.0).item() == pytest.approx(math.log(2), abs=1e-7)


def test_orpo_by_hand():
    """p = e^-½ and e^-1: odds 1.5414940825 and 0.5819767069, log of their ratio 0.9740769; 0.5 + 0.1 · 0.3203497."""
    assert orpo(CHOSEN, REJECTED, odds_weight=0.0).item() == pytest.approx(0.5, abs=1e-7)
    ratio = math.log(1.5414940825 / 0.5819767069)
    expected = 0.5 + 0.1 * math.log1p(math.exp(-ratio))
    assert orpo(CHOSEN, REJECTED, odds_weight=0.1).item() == pytest.approx(expected, abs=1e-6)


def test_cpo_is_dpo_without_a_reference_and_the_likelihood_beside_it():
    """0.1 · (-3 + 8) = 0.5 and -log σ(0.5) = 0.4740769842; with α = 2 another 2 · 3."""
    chosen, rejected = torch.tensor([-3.0]), torch.tensor([-8.0])
    found = [cpo(chosen, rejected, beta=0.1, likelihood_weight=a, label_smoothing=0.0).item() for a in (0.0, 2.0)]
    assert found == pytest.approx([0.4740769842, 6.4740769842], abs=1e-6)
    smooth = cpo(chosen, rejected, beta=0.1, likelihood_weight=0.0, label_smoothing=0.2)
    torch.testing.assert_close(smooth, dpo(chosen, rejected, beta=0.1, label_smoothing=0.2))


def test_they_equal_trl_s_own_functions_on_the_same_log_probabilities():
    """To 1e-6. TRL's likelihood beside them is a mean over a batch's tokens, another one, and is left out here."""
    from trl.experimental.cpo import CPOTrainer
    from trl.experimental.orpo import ORPOTrainer

    chosen, rejected = -3 * torch.rand(2, 64, generator=torch.Generator().manual_seed(0)) - 0.01
    here = SimpleNamespace(device=torch.device("cpu"))
    for beta, gamma, smoothing in ((2.0, 1.0, 0.0), (0.1, 0.5, 0.2)):
        told = {"beta": beta, "label_smoothing": smoothing, "alpha": 0.0, "simpo_gamma": gamma, "accelerator": here}
        theirs, *_ = CPOTrainer.cpo_loss(SimpleNamespace(**told, loss_type="sigmoid"), chosen, rejected)
        ours = cpo(chosen, rejected, beta=beta, likelihood_weight=0.0, label_smoothing=smoothing)
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
        if not smoothing:
            theirs, *_ = CPOTrainer.cpo_loss(SimpleNamespace(**told, loss_type="simpo"), chosen, rejected)
            ours = simpo(chosen, rejected, beta=beta, target_margin=gamma)
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
        theirs, *_ = ORPOTrainer.odds_ratio_loss(SimpleNamespace(beta=beta, accelerator=here), chosen, rejected)
        torch.testing.assert_close(orpo(chosen, rejected, odds_weight=beta) + chosen, -theirs, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("loss", [simpo, orpo, cpo])
@pytest.mark.parametrize(("chosen", "rejected"), [(0.0, -1e6), (-1e6, 0.0), (-1e-30, -1e-30)])
def test_they_stay_numbers_however_sure_the_policy_is(loss, chosen, rejected):
    knobs = {
        simpo: {"beta": 2.0, "target_margin": 1.0},
        orpo: {"odds_weight": 0.5},
        cpo: {"beta": 0.1, "likelihood_weight": 1.0, "label_smoothing": 0.0},
    }
    given = torch.tensor([chosen], requires_grad=True), torch.tensor([rejected], requires_grad=True)
    value = loss(*given, **knobs[loss])
    value.sum().backward()
    assert torch.isfinite(value).all() and all(torch.isfinite(one.grad).all() for one in given)
