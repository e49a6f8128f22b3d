"""Card 41: direct preference optimisation where its best policy can be written down."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.world import Bandit
from training.core.losses.dpo import dpo

CARD = Card(
    41,
    "Direct preference optimisation (DPO)",
    "From sampled choices alone it comes near the best policy with a price on leaving the reference, the reward it "
    "implies is the true one, and the pairs on which that reward contradicts the label are the labels that are wrong.",
    "arXiv:2305.18290",
)
SEEDS = (0, 1, 2)
PROMPTS, ANSWERS, PAIRS, BETA = 8, 16, 20_000, 0.5


@lru_cache
def learned(seed: int, *, referred: bool = True, flipped: float = 0.0) -> tuple[float, float, float]:
    """Return correlation of implied and true reward, distance from the best policy, and precision of the pair audit.

    The audit looks at the two per cent of pairs with the most negative margin: how many of these were turned round.
    """
    draw = np.random.default_rng(seed)
    rewards = draw.normal(size=(PROMPTS, ANSWERS))
    reference = np.exp(draw.normal(size=(PROMPTS, ANSWERS)))
    bandit = Bandit(rewards, np.zeros_like(rewards), reference / reference.sum(1, keepdims=True))
    asked = draw.integers(0, PROMPTS, PAIRS)
    pairs = np.stack([draw.permutation(ANSWERS)[:2] for _ in range(PAIRS)])
    gaps = rewards[asked, pairs[:, 0]] - rewards[asked, pairs[:, 1]]
    first = draw.random(PAIRS) < 1 / (1 + np.exp(-gaps))
    turned = draw.random(PAIRS) < flipped
    order = np.where((first ^ turned)[:, None], pairs, pairs[:, ::-1])
    x, chosen, rejected = (torch.tensor(values) for values in (asked, order[:, 0].copy(), order[:, 1].copy()))
    before = torch.tensor(np.log(bandit.reference))
    logits = before.clone().requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.02)
    for _ in range(400):
        optimizer.zero_grad()
        h = logits.log_softmax(-1) - (before if referred else 0.0)
        dpo(h[x, chosen], h[x, rejected], beta=BETA, label_smoothing=0.0).mean().backward()
        optimizer.step()
    found = logits.detach().log_softmax(-1)
    implied = BETA * (found - before)
    centred = [table - table.mean(1, keepdims=True) for table in (implied.numpy(), rewards)]
    correlation = float(np.corrcoef(centred[0].ravel(), centred[1].ravel())[0, 1])
    distance = float(np.abs(found.exp().numpy() - bandit.optimum(BETA)).sum(1).mean() / 2)
    margins = (implied[x, chosen] - implied[x, rejected]).numpy()
    doubted = margins.argsort()[: PAIRS // 50]
    wrong = (order[:, 0] == pairs[:, 0]) != (gaps > 0)
    return correlation, distance, float(wrong[doubted].mean())


@pytest.mark.experiment
def test_the_implied_reward_is_the_true_one(report):
    report(
        CARD,
        "correlation of the implied reward with the true one",
        [learned(seed)[0] for seed in SEEDS],
        seeds=SEEDS,
        switched_off="the reference in the loss",
        without=[learned(seed, referred=False)[0] for seed in SEEDS],
        at_least=0.96,
        every_seed=True,
    )
    report(
        CARD,
        "distance (total variation) from the best policy",
        [learned(seed)[1] for seed in SEEDS],
        seeds=SEEDS,
        switched_off="the reference in the loss",
        without=[learned(seed, referred=False)[1] for seed in SEEDS],
        at_most=0.15,
        every_seed=True,
    )


@pytest.mark.experiment
def test_the_pairs_the_model_disagrees_with_are_those_to_look_at(report):
    """A tenth of the labels are turned round on top of people's own doubt."""
    rates = []
    for seed in SEEDS:
        draw = np.random.default_rng(seed)
        rewards = draw.normal(size=(PROMPTS, ANSWERS))
        gaps = np.abs(rewards[:, :, None] - rewards[:, None, :])[:, ~np.eye(ANSWERS, dtype=bool)]
        share = (1 / (1 + np.exp(gaps))).mean()
        rates.append(float(0.9 * share + 0.1 * (1 - share)))
    report(
        CARD,
        "share of wrong labels among the two per cent that the policy doubts most",
        [learned(seed, flipped=0.1)[2] for seed in SEEDS],
        seeds=SEEDS,
        switched_off="the order by margin: any two per cent",
        without=rates,
        at_least=0.9,
        every_seed=True,
    )
