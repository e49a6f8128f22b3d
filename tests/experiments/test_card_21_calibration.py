"""Card 21: a judge that reads an answer beside its anchor says how likely it is better, whatever the prompt is worth.

A reward learned from pairs is known up to a number for each prompt, as it cancels in every pair. Here all answers to a
prompt are worth a number more or less, and the question is how often people prefer an answer to its prompt's anchor.
The scalar reward is turned into that chance by one temperature and one threshold for all prompts, both fitted. This is
how a policy that is rewarded by it meets it: answer by answer, without the anchor. Where the scalar reads the anchor
too, and the two scores are subtracted, the numbers cancel and it is as good as the judge, which is asserted beside.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tests.experiments.frame import Card
from tests.experiments.world import learn, pairs_of, reward_on, sequences
from training.core.backbone import RewardModel
from training.core.heads import ScalarHead, VerdictHead
from training.core.losses.bradley_terry import bradley_terry
from training.core.losses.verdict import verdict
from training.core.objectives import pair_scores, verdicts

CARD = Card(
    21,
    "Pairwise judge against an anchor (Pairwise-RL)",
    "Where the answers to each prompt are worth a number more or less, a judge that reads both answers says how likely "
    "one beats the prompt's anchor; a scalar reward, as good on pairs, needs the prompt's number for it.",
    "arXiv:2504.04950",
)
SEEDS = (0, 1, 2, 3, 4)
WIDE, PAIRS, FITTED, TEST, ANCHOR_OF = 8, 2000, 1000, 1000, 4
OFFSET, SPREAD = 5.0, 2.0  # deviations of what answers are worth: between prompts, and between answers to one

pytestmark = pytest.mark.experiment


def likely(gaps: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-gaps))


def outputs(model: RewardModel, rows: np.ndarray) -> np.ndarray:
    """Return what a model says of points of its table."""
    tokens = sequences(rows, rows)
    with torch.no_grad():
        return model.outputs(tokens.input_ids, tokens.attention_mask, tokens.completion_mask)[:, 0].double().numpy()


def brier(chances: np.ndarray, happened: np.ndarray) -> float:
    return float(((chances - happened) ** 2).mean())


def measured(seed: int) -> dict[str, float]:
    """Train both on the same pairs and return the Brier scores of "beats the anchor" and the accuracies on new pairs.

    Every prompt has two answers and an anchor, the best of four others.
    """
    draw = np.random.default_rng(seed)
    torch.manual_seed(seed)
    count = PAIRS + FITTED + TEST
    truth = draw.normal(size=WIDE)
    truth *= SPREAD / np.linalg.norm(truth)
    offsets = OFFSET * draw.normal(size=(count, 1)) * truth / SPREAD**2
    first, second, *others = offsets + draw.normal(size=(2 + ANCHOR_OF, count, WIDE))
    anchors = np.stack(others)[np.argmax(np.stack(others) @ truth, 0), np.arange(count)]
    wins = draw.random(count) < likely((first - second) @ truth)
    chosen, rejected = np.where(wins[:, None], first, second), np.where(wins[:, None], second, first)
    beats = draw.random(count) < likely((first - anchors) @ truth)
    every, test = np.arange(count), np.arange(PAIRS + FITTED, count)
    fitted = np.arange(PAIRS, PAIRS + FITTED)

    scalar = reward_on(np.concatenate([chosen, rejected, first, anchors]), ScalarHead(WIDE))
    ranking = partial(bradley_terry, strength_as="none", margin_scale=1.0)

    def pairs(rows: np.ndarray):
        return pairs_of(rows, rows, count + rows, rows)

    lift = partial(pair_scores, annotator_weights=False)
    learn(scalar, lift, ranking, pairs, PAIRS, epochs=10, rate=1e-2, seed=seed)
    score = [outputs(scalar, every + place * count) for place in range(4)]
    temperature = LogisticRegression(C=1e6).fit(score[2][fitted, None], beats[fitted])
    by_scalar = temperature.predict_proba(score[2][test, None])[:, 1]

    one = np.ones((count, 1))
    strangers = anchors[np.roll(every, 1)]
    both = [(chosen, rejected), (first, anchors), (first, strangers)]
    orders = [np.concatenate([*two, one], 1) for pair in both for two in (pair, pair[::-1])]
    judge = reward_on(np.concatenate(orders), VerdictHead(2 * WIDE + 1))

    def read_both(rows: np.ndarray):
        told = {"both": torch.ones(len(rows)), "chosen_first": torch.ones(len(rows))}
        return replace(pairs(rows), extra=told)

    learn(judge, verdicts, partial(verdict, consistency=0.0), read_both, PAIRS, epochs=10, rate=1e-2, seed=seed)

    def chance(place: int) -> np.ndarray:
        """Return how likely the first of the pair is better, by both orders."""
        ahead, behind = (likely(outputs(judge, test + (2 * place + side) * count)) for side in range(2))
        return (ahead + 1 - behind) / 2

    return {
        "judge": brier(chance(1), beats[test]),
        "stranger": brier(chance(2), beats[test]),
        "scalar": brier(by_scalar, beats[test]),
        "difference": brier(likely(score[2][test] - score[3][test]), beats[test]),
        "judge_accuracy": float((chance(0) > 0.5).mean()),
        "scalar_accuracy": float((score[0][test] > score[1][test]).mean()),
    }


def test_a_judge_beside_the_anchor_is_calibrated_whatever_the_prompt_is_worth(report):
    found = [measured(seed) for seed in SEEDS]
    print(found)
    report(
        CARD,
        'Brier score of "beats the anchor", as a share of that of a scalar reward with one temperature for all prompts',
        [one["judge"] / one["scalar"] for one in found],
        seeds=SEEDS,
        switched_off="the prompt's anchor: the judge reads that of another prompt",
        without=[one["stranger"] / one["scalar"] for one in found],
        at_most=0.8,
        every_seed=True,
    )
    for one in found:
        assert abs(one["judge_accuracy"] - one["scalar_accuracy"]) <= 0.02, "one of them knows the pairs better"
        assert one["difference"] <= 1.05 * one["judge"], "with the anchor's score the scalar is as good"
