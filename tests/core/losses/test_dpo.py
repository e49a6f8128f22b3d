"""DPO. By hand at β = 0.1: log-ratios 3 and -2 give z = 0.5 and -log σ(0.5) = 0.4740769842."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import softplus

from training.core.losses.dpo import dpo, margin_dpo, preference, scaled_beta
from training.recipes import recipe
from training.recipes.base import RecipeError

CHOSEN = torch.tensor([3.0, 0.0])
REJECTED = torch.tensor([-2.0, 0.0])


def test_hand_computed_numbers():
    """z = 0.5 and 0: 0.4740769842 and ln 2. With ε = 0.1: 0.9·0.4740769842 + 0.1·0.9740769842 = 0.5240769842."""
    plain = dpo(CHOSEN, REJECTED, beta=0.1, label_smoothing=0.0)
    torch.testing.assert_close(plain, torch.tensor([0.4740769842, math.log(2)]))
    smooth = dpo(CHOSEN, REJECTED, beta=0.1, label_smoothing=0.1)
    torch.testing.assert_close(smooth, torch.tensor([0.5240769842, math.log(2)]))


# At β = 0.1: z = 0.5, r = 0.3 and -0.2; ε = 0.1 where it is read. σ(0.5) = 0.6224593312, -log σ(0.3) = 0.5543552445,
# -log σ(-0.3) = 0.8543552445, -log σ(0.2) = 0.5981388694, σ(0.3) = 0.5744425168, σ(-0.2) = 0.4501660027.
BY_HAND = {
    "sigmoid": (0.1, 0.5240769842),
    "hinge": (0.0, 0.5),
    "ipo": (0.0, 0.0),  # (5 - 5)²
    "robust": (0.1, 0.4115769842),  # (0.9 · 0.4740769842 - 0.1 · 0.9740769842) / 0.8
    "exo": (0.1, 0.2720548),  # 0.6224593 · (-0.4740770 + 0.1053605) + 0.3775407 · (-0.9740770 + 2.3025851)
    "nca": (0.0, 1.2806023014),  # 0.5543552445 + 0.4271776222 + 0.2990694347
    "bco": (0.0, 1.1524941139),  # 0.5543552445 + 0.5981388694
    "sppo": (0.0, 13.0),  # (3 - 5)² + (-2 + 5)²
    "apo-zero": (0.0, 0.8757234859),  # 0.4255574832 + 0.4501660027
    "apo-down": (0.0, 0.9519831856),  # 0.5744425168 + 0.3775406688
    "discopop": (0.0, 0.6065246466),  # m = σ(10) = 0.9999546021: 0.0000453979 · 0.4740769842 + m · 0.6065306597
}


def test_relatives_by_hand():
    (choices,) = [k.choices for k in recipe("dpo").knobs() if k.name == "loss_type"]
    assert set(choices) == set(BY_HAND)
    for loss_type, (smoothing, expected) in BY_HAND.items():
        found = preference(CHOSEN, REJECTED, loss_type=loss_type, beta=0.1, label_smoothing=smoothing)
        assert found.shape == (2,) and found[0].item() == pytest.approx(expected, abs=1e-6), loss_type


@pytest.mark.parametrize("loss_type", BY_HAND)
@pytest.mark.parametrize("gap", [1e6, 0.0, -1e6])
def test_relatives_stay_numbers_however_sure_the_policy_is(loss_type, gap):
    chosen = torch.tensor([gap], requires_grad=True)
    loss = preference(chosen, -chosen.detach(), loss_type=loss_type, beta=0.5, label_smoothing=BY_HAND[loss_type][0])
    loss.sum().backward()
    assert math.isfinite(loss.item()) and math.isfinite(chosen.grad.item())


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"loss_type": "ipo", "label_smoothing": 0.1}, "ipo reads no label smoothing"),
        ({"loss_type": "exo"}, "above 0"),
        ({"loss_type": "robust", "label_smoothing": 0.5}, "below 0.5"),
    ],
)
def test_a_smoothing_that_does_not_fit_is_refused_before_the_run(knobs, said):
    with pytest.raises(RecipeError, match=said) as refused:
        recipe("dpo").fill(knobs)
    assert list(refused.value.errors) == ["label_smoothing"]
    recipe("dpo-personal").fill({"loss_type": "exo", "label_smoothing": 0.001})


def test_gradient_is_beta_times_the_doubt():
    """d/dh_w = -β σ(-z) = -0.1 · 0.3775406688 at z = 0.5."""
    chosen = CHOSEN.clone().requires_grad_()
    dpo(chosen, REJECTED, beta=0.1, label_smoothing=0.0).sum().backward()
    assert chosen.grad[0].item() == pytest.approx(-0.03775406688, abs=1e-7)


def test_beta_follows_the_margin_and_never_falls():
    """β(0) = 0.1; β(2) = 0.1 (1 + 0.5 (1 - 1/e)) = 0.1316060279; β(∞) = 0.15; doubted, β(-3) = 0.1. MM-DPO, eq. 5."""
    margin = torch.tensor([0.0, 2.0, 1e4, -3.0], requires_grad=True)
    knobs = {"beta": 0.1, "margin_weight": 0.5, "margin_steepness": 0.5}
    beta = scaled_beta(margin, **knobs)
    torch.testing.assert_close(beta, torch.tensor([0.1, 0.1316060279, 0.15, 0.1]))
    chosen, rejected = torch.tensor([3.0, 3.0, -1.0, 2.0]), torch.tensor([-2.0, 1.0, 1.0, 2.0])
    chosen.requires_grad_()
    found = margin_dpo(chosen, rejected, margin, **knobs, label_smoothing=0.1)
    each = [
        dpo(c[None], r[None], beta=float(b), label_smoothing=0.1)
        for c, r, b in zip(chosen, rejected, beta, strict=True)
    ]
    torch.testing.assert_close(found, torch.cat(each))
    found.sum().backward()
    assert margin.grad is None and torch.isfinite(chosen.grad).all(), "the margin is the reward model's, and fixed"
    plain = margin_dpo(chosen, rejected, margin, **knobs | {"margin_weight": 0.0}, label_smoothing=0.0)
    torch.testing.assert_close(plain, dpo(chosen, rejected, beta=0.1, label_smoothing=0.0))


def test_smoothing_has_its_minimum_where_the_doubt_is_what_was_assumed():
    """With ε = 0.2 the loss is least at σ(z) = 0.8, z = ln 4: no further push beyond."""
    z = torch.tensor([math.log(4)], requires_grad=True)
    dpo(z, torch.zeros(1), beta=1.0, label_smoothing=0.2).sum().backward()
    assert z.grad.item() == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("gap", [1e6, -1e6])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.3])
def test_extreme_log_ratios_give_finite_gradients(gap, label_smoothing):
    chosen = torch.tensor([gap], requires_grad=True)
    loss = dpo(chosen, torch.zeros(1), beta=0.5, label_smoothing=label_smoothing)
    loss.sum().backward()
    assert math.isfinite(loss.item()) and math.isfinite(chosen.grad.item())


def test_the_formula_by_another_road():
    """-log σ(z) is also softplus(-z); both halves of the smoothed loss written so."""
    generator = torch.Generator().manual_seed(1)
    chosen, rejected = 20 * torch.randn(2, 64, generator=generator)
    z = 0.3 * (chosen - rejected)
    torch.testing.assert_close(
        dpo(chosen, rejected, beta=0.3, label_smoothing=0.15), 0.85 * softplus(-z) + 0.15 * softplus(z)
    )


def test_with_all_pairs_and_their_true_odds_the_optimum_is_the_known_one():
    """8 prompts, 16 answers, β = 0.5, every pair weighted by the Bradley-Terry probability of its order.

    The policy that minimises the loss is π_ref·exp(r/β)/Z (arXiv:2305.18290, eq. 4), to a total variation of 1e-3.
    """
    generator = torch.Generator().manual_seed(0)
    reward = torch.randn(8, 16, generator=generator, dtype=torch.float64)
    reference = torch.randn(8, 16, generator=generator, dtype=torch.float64).log_softmax(-1)
    odds = torch.sigmoid(reward[:, :, None] - reward[:, None, :])  # (8, 16, 16): the first beats the second
    logits = reference.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([logits], lr=1.0, max_iter=300, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        ratio = logits.log_softmax(-1) - reference
        chosen = ratio[:, :, None].expand(8, 16, 16).reshape(-1)
        rejected = ratio[:, None, :].expand(8, 16, 16).reshape(-1)
        loss = (odds.reshape(-1) * dpo(chosen, rejected, beta=0.5, label_smoothing=0.0)).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    best = (reference + reward / 0.5).softmax(-1)
    distance = 0.5 * (logits.softmax(-1) - best).abs().sum(-1).max()
    assert distance < 1e-3
    assert 0.5 * (reference.exp() - best).abs().sum(-1).max() > 0.3
