"""Card 3: a pair of which a reward model is surer pulls harder (β of each pair, MM-DPO).

The card's order is MM-DPO > DPO > inverted scaling on every seed. The first half is reached, the second not on seed 0,
where DPO and inverted scaling come to the same (to 0.0001): every β that the formula gives is above the base one, its
mirror image too, and a larger β for all is better here. So each is also held against one β of the same mean, where
inverted scaling is the worse by far.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch

from tests.experiments.frame import Card
from training.core.losses.dpo import dpo, margin_dpo, scaled_beta

CARD = Card(
    3,
    "DPO with β from the reward's margin (MM-DPO)",
    "Where people's preferences are noisy and a reward model's margins are too, DPO that pulls harder at pairs with a "
    "larger margin writes better answers than DPO with one β, and than DPO that pulls harder at the doubtful pairs.",
    "arXiv:2502.10391",
)
SEEDS = (0, 1, 2)
PROMPTS, ANSWERS, PAIRS_EACH, STEPS = 60, 12, 40, 400
BETA, WEIGHT, STEEPNESS = 0.1, 0.5, 0.5


@lru_cache
def gold(seed: int, way: str) -> float:
    """Return the mean gold of a tabular policy after so many steps; `way` is how β is chosen.

    Preferences are drawn by Bradley and Terry at temperature 0.6, margins are those of gold with noise of size 0.5.
    """
    draw = np.random.default_rng(seed)
    rewards = 2 * draw.normal(size=(PROMPTS, ANSWERS))
    asked = np.repeat(np.arange(PROMPTS), PAIRS_EACH)
    pairs = np.stack([draw.permutation(ANSWERS)[:2] for _ in asked])
    gaps = rewards[asked, pairs[:, 0]] - rewards[asked, pairs[:, 1]]
    first = draw.random(len(asked)) < 1 / (1 + np.exp(-gaps / 0.6))
    order = np.where(first[:, None], pairs, pairs[:, ::-1])
    noisy = rewards + 0.5 * draw.normal(size=rewards.shape)
    x, chosen, rejected = (torch.tensor(v) for v in (asked, order[:, 0].copy(), order[:, 1].copy()))
    margin = torch.tensor(noisy[asked, order[:, 0]] - noisy[asked, order[:, 1]], dtype=torch.float32)
    knobs = {"beta": BETA, "margin_weight": WEIGHT, "margin_steepness": STEEPNESS}
    betas = scaled_beta(margin, **knobs)
    logits = torch.zeros(PROMPTS, ANSWERS, requires_grad=True)
    optimizer = torch.optim.SGD([logits], lr=200.0)
    for _ in range(STEPS):
        optimizer.zero_grad()
        h = logits.log_softmax(-1) + float(np.log(ANSWERS))  # the reference answers anything alike
        better, worse = h[x, chosen], h[x, rejected]
        if way == "margin":
            loss = margin_dpo(better, worse, margin, **knobs, label_smoothing=0.0)
        else:
            shuffled = betas[torch.tensor(draw.permutation(len(asked)))]
            ways = {"mean": betas.mean(), "inverted": (2 + WEIGHT) * BETA - betas, "shuffled": shuffled}
            other = BETA if way == "one" else ways[way]
            loss = dpo(better, worse, beta=other, label_smoothing=0.0)
        loss.mean().backward()
        optimizer.step()
    return float((logits.detach().softmax(-1) * torch.tensor(rewards)).sum(1).mean())


@pytest.mark.experiment
def test_pairs_that_a_reward_model_is_sure_of_teach_more(report):
    """Against one β of the same mean: so it is not that β is larger for all."""
    gained = [gold(seed, "margin") - gold(seed, "mean") for seed in SEEDS]
    for way, told in (("inverted", "the direction: β falls with the margin"), ("shuffled", "whose β it is: shuffled")):
        report(
            CARD,
            "gold above that of DPO whose one β is the mean of all",
            gained,
            seeds=SEEDS,
            switched_off=told,
            without=[gold(seed, way) - gold(seed, "mean") for seed in SEEDS],
            at_least=0.02,
            every_seed=True,
        )
    report(
        CARD,
        "gold above that of DPO with the base β",
        [gold(seed, "margin") - gold(seed, "one") for seed in SEEDS],
        seeds=SEEDS,
        switched_off="the direction: β falls with the margin",
        without=[gold(seed, "inverted") - gold(seed, "one") for seed in SEEDS],
        at_least=0.05,
        every_seed=True,
    )
