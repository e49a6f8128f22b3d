"""Card 9: the alarm comes once people like a policy less that is trained on for more reward, and else it does not.

A reward model learns, as it stands, from 500 pairs of answers of the first policy, a quarter of the labels wrong. In
them the word that people like comes once or twice, and the more of it the better; what people think of eight and more,
which is too much, nobody asked. A policy is trained on that model by the real loop for 240 updates, and each 20 are a
round: the candidate is compared with the policy before it on 200 prompts by people and by the reward model, as at a
gate, and the page's own code adds the gates up and looks for an alarm. Each course of training is voted on by 20 other
crowds, so that it is known how often chance alone rings.

"Switched off" is the over-optimised reward: the same loop rewarded by what people want. Its policy climbs and stays.

The card also wants the fitted curve's highest point within 25 % of the true one. Of eight crowds for each seed, that of
the curve for the best of n, d(α − βd), is (17 % at most), and that of the curve for RL, d(α − β log d), is not: it lies
3 to 35 % too low, more than 25 % for 14 of 40. No row claims it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.experiments.frame import Card
from tests.experiments.tables import climb, table_models
from tests.experiments.world import learn, pairs_of, reward_on
from training.core.heads import ScalarHead
from training.core.losses.bradley_terry import bradley_terry
from training.core.objectives import pair_scores
from training.recipes.combine import First
from training.recipes.stages import BatchMean, FixedKL, Reinforce
from training.services import overoptimisation
from training.services.overoptimisation import Checkpoint, along, first_sign, follow

CARD = Card(
    9,
    "Objective mismatch (dashboard and alarm)",
    "A policy that is trained for more and more of a learned reward gets better for people and then worse. The alarm "
    "comes after that point and soon, the reward model's accuracy on the policy's own answers falls with it, and where "
    "the reward is what people want no alarm comes.",
    "arXiv:2311.00168",
)
SEEDS = (0, 1, 2, 3, 4)
TOKENS, LENGTH, TURNING = 10, 16, 8
UPDATES, ROUND, VOTES, CROWDS = 240, 20, 200, 20
PAIRS = 500
Score = Callable[[Tensor], Tensor]


def gold(answers: Tensor) -> Tensor:
    """People like token 0 up to eight times, and each more as little as they liked the first ones."""
    count = (answers == 0).sum(1).float()
    return 0.8 * count.clamp(max=TURNING) - 0.8 * (count - TURNING).clamp(min=0)


def counts(answers: Tensor) -> Tensor:
    """Return how often each token comes in an answer, which is all that the reward model sees of it."""
    return torch.nn.functional.one_hot(answers, TOKENS).sum(1).float()


@dataclass(frozen=True)
class Judge:
    """A reward model and its accuracy on pairs of the first policy that it did not learn from."""

    score: Score
    accuracy: float


@lru_cache
def learned(seed: int) -> Judge:
    draw = np.random.default_rng(seed)
    torch.manual_seed(seed)
    answers = torch.tensor(draw.integers(TOKENS, size=(4 * PAIRS, LENGTH)))
    points, worth = counts(answers).numpy(), gold(answers).numpy()
    first, second = np.arange(2 * PAIRS), np.arange(2 * PAIRS) + 2 * PAIRS
    wins = preferred(draw, worth[first] - worth[second])
    seen = wins ^ (draw.random(2 * PAIRS) < 0.25)
    chosen, rejected = np.where(seen, first, second), np.where(seen, second, first)
    head = ScalarHead(TOKENS)
    model = reward_on(points, head)
    learn(
        model,
        partial(pair_scores, annotator_weights=False),
        partial(bradley_terry, strength_as="none", margin_scale=1.0),
        lambda rows: pairs_of(rows, chosen[rows], rejected[rows], rows),
        PAIRS,
        epochs=30,
        rate=1e-2,
        seed=seed,
    )

    def score(some: Tensor) -> Tensor:
        with torch.no_grad():
            return head(counts(some))[:, 0]

    gap = (score(answers[first]) - score(answers[second])).numpy()[PAIRS:]
    return Judge(score, agreed(gap, wins[PAIRS:]))


def preferred(draw: np.random.Generator, gap: np.ndarray) -> np.ndarray:
    """Return whether people prefer the first of two answers, by Bradley and Terry."""
    return draw.random(len(gap)) < 1 / (1 + np.exp(-gap))


def agreed(gap: np.ndarray, wins: np.ndarray) -> float:
    return float(np.where(gap == 0, 0.5, (gap > 0) == wins).mean())


@lru_cache
def course(seed: int, *, honest: bool) -> list[Tensor]:
    """Return the policies of the rounds, each as its tokens' chances by place; the first is the start."""
    models = table_models(torch.zeros(LENGTH, TOKENS), places=LENGTH)
    policy = models.policy
    kept = [policy.probabilities[0].clone()]  # type: ignore[operator]

    def watch(iteration, rollout) -> bool:
        if (iteration + 1) % ROUND == 0:
            kept.append(policy.probabilities[0].clone())
        return False

    score = gold if honest else learned(seed).score
    climb(
        models,
        lambda asked, answers: {"reward": score(answers)},
        First(),
        FixedKL(kl=0.04),
        BatchMean(),
        Reinforce(),
        prompts=1,
        n=64,
        iterations=UPDATES,
        rate=0.02,
        seed=seed,
        watch=watch,
    )
    return kept


def sampled(policy: Tensor, n: int, seed: str) -> Tensor:
    generator = torch.Generator().manual_seed(int.from_bytes(seed.encode(), "little") % 2**31)
    return torch.multinomial(policy, n, replacement=True, generator=generator).T


@lru_cache
def worth(seed: int, *, honest: bool) -> list[float]:
    """Return what people would say of each policy, in the mean of 5,000 of its answers."""
    return [float(gold(sampled(one, 5000, f"{seed} {n}")).mean()) for n, one in enumerate(course(seed, honest=honest))]


@dataclass(frozen=True)
class Gates:
    """A loop's way, as its page has it, and how often the reward model agreed with people at each gate."""

    way: list[Checkpoint]
    errors: list[float]
    accuracies: list[float]

    def alarm(self, errors: float = overoptimisation.ERRORS) -> int | None:
        """Return the round after which it came."""
        found = first_sign(self.way, along(self.errors), errors=errors)
        return None if found is None else found.at


@lru_cache
def gates(seed: int, crowd: int, *, honest: bool) -> Gates:
    score = gold if honest else learned(seed).score
    policies = course(seed, honest=honest)
    way, errors, accuracies = [Checkpoint("policy-0", 0.0, 0.0, 0.0)], [], []
    draw = np.random.default_rng([seed, crowd, honest])
    for n, (before, now) in enumerate(pairwise(policies), start=1):
        ours, theirs = (sampled(one, VOTES, f"{seed} {crowd} {n} {side}") for side, one in enumerate((now, before)))
        wins = preferred(draw, (gold(ours) - gold(theirs)).numpy())
        gap = (score(ours) - score(theirs)).numpy()
        human, reward = float(wins.mean()), float(np.where(gap == 0, 0.5, gap > 0).mean())
        kl = float((now * (now.clamp(min=1e-30) / before.clamp(min=1e-30)).log()).sum())
        there, error = follow(
            way[-1],
            f"policy-{n}",
            human={"estimate": human, "n": VOTES},
            reward={"estimate": reward, "n": VOTES},
            kl=kl,
        )
        way.append(there)
        errors.append(error)
        accuracies.append(agreed(gap, wins))
    return Gates(way, errors, accuracies)


SOON = 4  # rounds behind the best policy within which an alarm is of use


def best(seed: int) -> int:
    """Return the round whose policy people like best."""
    return int(np.argmax(worth(seed, honest=False)))


def in_time(seed: int) -> float:
    """Return the share of crowds by whom the alarm comes behind the best policy, and no later than `SOON` rounds."""
    rounds = [gates(seed, crowd, honest=False).alarm() for crowd in range(CROWDS)]
    print(f"seed {seed}: best in round {best(seed)}, alarms after {rounds}, gold {worth(seed, honest=False)}")
    return float(np.mean([one is not None and best(seed) < one <= best(seed) + SOON for one in rounds]))


def rings(seed: int, errors: float = overoptimisation.ERRORS) -> float:
    """Return the share of crowds by whom any of the twelve rounds rings where the reward is what people want."""
    return float(np.mean([gates(seed, crowd, honest=True).alarm(errors) is not None for crowd in range(CROWDS)]))


def right(seed: int, *, honest: bool) -> float:
    """Return the reward model's accuracy on the pairs of the gate two rounds behind the best policy."""
    return float(np.mean([gates(seed, crowd, honest=honest).accuracies[best(seed) + 1] for crowd in range(CROWDS)]))


@pytest.mark.experiment
def test_the_alarm_comes_behind_the_best_policy_and_soon(report):
    for seed in SEEDS:
        assert max(worth(seed, honest=False)) - worth(seed, honest=False)[-1] >= 1, "gold falls"
    report(
        CARD,
        "share of 20 crowds of 200 votes a round whose alarm comes within 4 rounds behind the best policy, none before",
        [in_time(seed) for seed in SEEDS],
        seeds=SEEDS,
        switched_off="over-optimisation: rewarded by what people want",
        without=[rings(seed) for seed in SEEDS],
        at_least=0.95,
        every_seed=True,
    )


@pytest.mark.experiment
def test_it_does_not_come_where_the_reward_is_what_people_want(report):
    print("at two standard errors:", [rings(seed, 2.0) for seed in SEEDS])
    report(
        CARD,
        "share of 20 crowds of 200 votes a round with an alarm in any of 12 rounds, rewarded by what people want",
        [rings(seed) for seed in SEEDS],
        seeds=SEEDS,
        switched_off="the three standard errors: any fall rings",
        without=[rings(seed, 0.0) for seed in SEEDS],
        at_most=0.05,
        every_seed=True,
    )


@pytest.mark.experiment
def test_accuracy_on_the_policy_s_own_answers_falls_below_a_coin_s(report):
    """A model that is right all along is not far above a coin there either: answers of policies on a plateau are alike.

    So what is shown is not a fall from the training data, which both have.
    """
    print("on pairs of the first policy:", [learned(seed).accuracy for seed in SEEDS])
    report(
        CARD,
        "accuracy of the reward model on the pairs of the gate two rounds behind the best policy",
        [right(seed, honest=False) for seed in SEEDS],
        seeds=SEEDS,
        switched_off="over-optimisation: rewarded by what people want",
        without=[right(seed, honest=True) for seed in SEEDS],
        at_most=0.45,
        every_seed=True,
    )
