"""Card 21: a policy that is rewarded by the chance to beat a known good answer learns what a scalar reward drowns.

All answers to a prompt are worth a number more or less. One answer is drawn to each prompt, and its reward is held
against the mean of all prompts': of a scalar reward most is the prompt's number, which the policy cannot change, while
the chance to beat the prompt's anchor is free of it. The anchor is the winner of four answers' duels before noisy
people. Both rewards are learned from the same pairs. A baseline for each prompt (a critic, or several answers) would
take the number out of the scalar too, and is not what is claimed here.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.tables import climb, table_models
from tests.experiments.world import learn, pairs_of, reward_on, sequences
from training.core.backbone import RewardModel
from training.core.heads import ScalarHead, VerdictHead
from training.core.losses.bradley_terry import bradley_terry
from training.core.losses.verdict import verdict
from training.core.objectives import pair_scores, verdicts
from training.recipes.combine import First
from training.recipes.stages import BatchMean, FixedKL, Reinforce

CARD = Card(
    21,
    "Reinforcement learning against an anchor (Pairwise-RL)",
    "Where the answers to each prompt are worth a number more or less and one baseline serves all prompts, a policy "
    "rewarded by the chance to beat a known good answer gets further than one by a scalar from the same pairs.",
    "arXiv:2504.04950",
)
SEEDS = (0, 1, 2, 3, 4)
WIDE, PROMPTS, ANSWERS, PAIRS, DUELS = 8, 60, 30, 3000, 4
OFFSET = 5.0  # deviation of what answers are worth between prompts; between answers to one it is 1

pytestmark = pytest.mark.experiment


def likely(gaps: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-gaps))


def outputs(model: RewardModel, count: int) -> np.ndarray:
    """Return what a model says of the first `count` points of its table."""
    tokens = sequences(np.arange(count), np.arange(count))
    with torch.no_grad():
        return model.outputs(tokens.input_ids, tokens.attention_mask, tokens.completion_mask)[:, 0].double().numpy()


@lru_cache
def rewards(seed: int) -> dict[str, np.ndarray]:
    """Return tables (prompts, answers): gold without the prompts' numbers, and the rewards learned from people's pairs.

    People prefer by Bradley and Terry, at a temperature of a half.
    """
    draw = np.random.default_rng(seed)
    torch.manual_seed(seed)
    truth = draw.normal(size=WIDE)
    truth /= np.linalg.norm(truth)
    points = draw.normal(size=(PROMPTS, ANSWERS, WIDE))
    gold = points @ truth
    points = points + OFFSET * draw.normal(size=(PROMPTS, 1, 1)) * truth
    every = np.arange(PROMPTS)

    asked = draw.integers(0, PROMPTS, PAIRS)
    one, other = draw.integers(0, ANSWERS, (2, PAIRS))
    wins = draw.random(PAIRS) < likely(2 * (gold[asked, one] - gold[asked, other]))
    chosen, rejected = points[asked, np.where(wins, one, other)], points[asked, np.where(wins, other, one)]

    some = np.stack([draw.choice(ANSWERS, DUELS, replace=False) for _ in every])
    worth = np.take_along_axis(gold, some, 1)
    beaten = draw.random((PROMPTS, DUELS, DUELS)) < likely(2 * (worth[:, :, None] - worth[:, None, :]))
    first = np.triu(np.ones((DUELS, DUELS), dtype=bool), 1)  # each duel is fought once
    won = (beaten & first).sum(2) + (~beaten & first).sum(1)
    good = points[every, some[every, won.argmax(1)]]

    def pairs(rows: np.ndarray):
        return pairs_of(rows, rows, PAIRS + rows, rows)

    flat = points.reshape(-1, WIDE)
    scalar = reward_on(np.concatenate([chosen, rejected]), ScalarHead(WIDE))
    ranking = partial(bradley_terry, strength_as="none", margin_scale=1.0)
    lift = partial(pair_scores, annotator_weights=False)
    learn(scalar, lift, ranking, pairs, PAIRS, epochs=10, rate=1e-2, seed=seed)
    judge = reward_on(both_orders(chosen, rejected), VerdictHead(2 * WIDE + 1))

    def read_both(rows: np.ndarray):
        return replace(pairs(rows), extra={name: torch.ones(len(rows)) for name in ("both", "chosen_first")})

    learn(judge, verdicts, partial(verdict, consistency=0.0), read_both, PAIRS, epochs=10, rate=1e-2, seed=seed)

    def scored(head, table: np.ndarray) -> np.ndarray:
        return outputs(reward_on(table, head), len(table))

    def against(anchors: np.ndarray) -> np.ndarray:
        """Return how likely each answer is better than its prompt's anchor, by both orders."""
        said = likely(scored(judge.head, both_orders(flat, anchors.repeat(ANSWERS, 0))))
        ahead, behind = np.split(said, 2)
        return ((ahead + 1 - behind) / 2).reshape(PROMPTS, ANSWERS)

    return {
        "gold": gold,
        "scalar": scored(scalar.head, flat).reshape(PROMPTS, ANSWERS),
        "known good": against(good),
        "another prompt's": against(np.roll(good, 1, axis=0)),
    }


def both_orders(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    ones = np.ones((len(one), 1))
    return np.concatenate([np.concatenate([*two, ones], 1) for two in ((one, other), (other, one))])


@lru_cache
def reached(seed: int, name: str) -> float:
    """Return the mean gold of a policy after 400 updates by the reward of this name, one answer a prompt."""
    table = torch.tensor(rewards(seed)[name], dtype=torch.float32)
    models = table_models(torch.zeros(PROMPTS, ANSWERS))
    climb(
        models,
        lambda asked, answers: {"reward": table[asked, answers[:, 0]]},
        First(),
        FixedKL(kl=0.0),
        BatchMean(),
        Reinforce(),
        prompts=PROMPTS,
        n=1,
        iterations=400,
        rate=0.05,
        seed=seed,
    )
    chances = models.policy.probabilities[:, 0].double().numpy()
    return float((chances * rewards(seed)["gold"]).sum(1).mean())


def gain(seed: int, name: str) -> float:
    return reached(seed, name) - reached(seed, "scalar")


def test_a_known_good_anchor_teaches_what_a_scalar_drowns(report):
    for seed in SEEDS:
        names = ("scalar", "known good", "another prompt's")
        print(seed, rewards(seed)["gold"].max(1).mean(), {name: reached(seed, name) for name in names})
    report(
        CARD,
        "gold of the policy above that of one rewarded by a scalar from the same pairs, one answer a prompt",
        [gain(seed, "known good") for seed in SEEDS],
        seeds=SEEDS,
        switched_off="the prompt's anchor: the judge reads that of another prompt",
        without=[gain(seed, "another prompt's") for seed in SEEDS],
        at_least=0.1,
        every_seed=True,
    )
