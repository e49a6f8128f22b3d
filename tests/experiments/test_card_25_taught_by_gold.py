"""Card 25: the card's own world, in which members learn gold itself on 400 points and a policy may go far beyond them.

The method has members on a reward model's states, taught by its scores (`test_card_25_robust_reward`). The card's pilot
had networks of their own, 2-64-2, taught by gold; so have they here: the product's members, their loss, the rows drawn
anew for each, and their combination, with the points as states and gold in place of the reward model's score. A policy
is the best point of a grid up to radius 6, less a price on the nats from a standard normal one about 0.

The card's gates are a gain of 2, which holds in the mean of twelve seeds, though on four of them alone, and a
disagreement of 5, which holds on every one. The figures of the card's pilot, -8.4 for one member and 1.5 for all, are
not found again: one member comes to -3.9, and all together to -1.4. How much there is to gain depends on how long the
members learn, of which the card says nothing. In 300 epochs one member alone comes to 0.6 on five of these seeds, and
half a point is left to be gained. Where points lie closer together, with a deviation of a half, all members go on
beyond them the wrong way.
"""

from __future__ import annotations

from functools import lru_cache, partial
from statistics import fmean

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.experiments.frame import Card
from tests.experiments.test_card_25_robust_reward import disc, gold
from tests.experiments.world import learn, pairs_of, reward_on
from training.core.heads import GaussianHead, ScalarHead, Scores
from training.core.losses.gaussian import gaussian as squared
from training.core.objectives import member_targets
from training.core.stages.combine import robust

CARD = Card(
    25,
    "Reward-robust RLHF (BRME), members taught by gold",
    "Where members learn gold on 400 points and each goes on beyond them as it happens to, the mean and the worst of "
    "five choose better than one of them by more than 2 of gold on average, though not every time; and they disagree "
    "five times as much where they have seen nothing.",
    "arXiv:2409.15360",
)
SEEDS = tuple(range(12))
POINTS, EPOCHS, MEMBERS = 400, 125, 5
combined = partial(robust, nominal_weight=0.6, nominal="mean", worst_of="sample")


class Gold(ScalarHead):
    """In place of the reward model on which members stand: its score of a point is gold."""

    def forward(self, pooled: Tensor) -> Tensor:
        return -((pooled[:, :1] - 1) ** 2) + 0.3 * pooled[:, 1:]


@lru_cache
def arms(seed: int) -> dict[str, float]:
    """Train members, and return what the choices of all together and of each alone are worth by gold."""
    torch.manual_seed(seed)
    points, grid = np.random.default_rng(seed).normal(size=(POINTS, 2)), disc(6.0)
    table = np.concatenate([points, grid])
    head = GaussianHead(2, [f"reward_{m + 1}" for m in range(MEMBERS)], width=64)
    head.nominal = Gold(2)
    half = POINTS // 2
    learn(
        reward_on(table, head),
        member_targets,
        squared,
        lambda rows: pairs_of(rows, rows, rows + half, rows),
        half,
        epochs=EPOCHS,
        rate=3e-3,
        seed=seed,
        size=25,
    )
    states = torch.tensor(table, dtype=torch.float32)
    outside = torch.tensor((grid**2).sum(-1) > 16)
    with torch.no_grad():
        head.calibrate(head(states[:POINTS]))
        values, spread = head(states), head.spread(states)
    unit = head.means.std.mean()  # of gold in one of the standardised members
    rewards = values[POINTS:] * unit
    worth, squares = gold(grid), torch.tensor((grid**2).sum(-1), dtype=torch.float32)

    def choice(scores: Tensor, beta: float) -> float:
        return float(worth[int((combined(Scores(scores, head.names)) - beta * squares / 2).argmax())])

    found = {}
    for beta in (0.0, 0.02):
        found[f"all {beta}"] = choice(rewards, beta)
        found[f"alone {beta}"] = fmean(choice(rewards[:, m : m + 1], beta) for m in range(MEMBERS))
        plain = rewards - beta * squares.unsqueeze(1) / 2
        found[f"single {beta}"] = fmean(float(worth[int(one.argmax())]) for one in plain.unbind(1))
    far, near = values[POINTS:][outside], values[:POINTS]
    found["disagreement"] = float(far.std(1).mean() / near.std(1).mean())
    found["deviation"] = float(spread[POINTS:][outside].mean() / spread[:POINTS].mean())
    return found


@pytest.mark.experiment
@pytest.mark.parametrize("beta", [0.0, 0.02])
def test_the_robust_choice_is_worth_more_than_one_member_s(report, beta):
    found = [arms(seed) for seed in SEEDS]
    print(found)
    report(
        CARD,
        f"gold of the choice by 0.6 · mean + 0.4 · worst, above that of one member's choice, price {beta:g} a nat",
        [one[f"all {beta}"] - one[f"single {beta}"] for one in found],
        seeds=SEEDS,
        switched_off="an ensemble of one",
        without=[one[f"alone {beta}"] - one[f"single {beta}"] for one in found],
        at_least=2.0,
    )


@pytest.mark.experiment
def test_members_disagree_where_they_have_seen_nothing(report):
    found = [arms(seed) for seed in SEEDS]
    report(
        CARD,
        "disagreement of the members outside the points as a multiple of that among them",
        [one["disagreement"] for one in found],
        seeds=SEEDS,
        switched_off="members: their own deviations instead",
        without=[one["deviation"] for one in found],
        at_least=5.0,
        every_seed=True,
    )
