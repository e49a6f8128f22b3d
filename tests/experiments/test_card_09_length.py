"""Card 9: a reward model that knows nothing but length and refusals is told from one that knows what people want.

At a gate people compare 200 pairs blind. They like what an answer says, and its length, and dislike a refusal, so a
reward model that counts tokens and refusals alone agrees with them more often than chance; its correlation with them
looks like knowledge. The page's own code holds length and refusals fixed (the partial rank correlation) and rings where
nothing is left. Ten worlds, as the card has them. The card holds people fixed and asks about length, in 10 of 10; here
it is the other way round, and as the interval is one of 95 %, chance misses one world in forty (of these ten, one).

"Switched off" is holding the right thing fixed: lengths and refusals of other pairs in their place. For the second row,
which is that a model that knows what people want does not ring, it is that knowledge.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from tests.experiments.frame import Card
from training.services.gate_pairs import Judged, Pair, _accuracy, _fixed
from training.services.mismatch_trend import Step, _of_the_model
from training.services.rank_correlation import spearman

CARD = Card(
    9,
    "Objective mismatch (what is left with length and refusals fixed)",
    "A reward model that counts tokens and refusals agrees with people more often than chance, as they like length and "
    "dislike refusals. With both held fixed nothing is left of it, and the page says so; of a model that knows what "
    "they want most is left.",
    "arXiv:2311.00168",
)
SEEDS = tuple(range(10))
PAIRS = 200


def gate(seed: int, *, knows: bool, shuffled: bool = False) -> list[Pair]:
    """Return the pairs of a gate: how much longer the candidate's is, whether it alone refuses, what was said."""
    draw = np.random.default_rng([seed, knows])
    says, longer = draw.normal(size=PAIRS), draw.normal(0, 20, PAIRS).round()
    refuses = draw.choice([-1.0, 0.0, 1.0], PAIRS, p=[0.1, 0.8, 0.1])
    wanted = says + 0.05 * longer - 1.5 * refuses
    people = (draw.random(PAIRS) < 1 / (1 + np.exp(-wanted))).astype(float)
    reward = 0.1 * longer - 3.0 * refuses + (2.0 * says if knows else 0.0) + draw.normal(0, 0.5, PAIRS)
    places = draw.permutation(PAIRS) if shuffled else np.arange(PAIRS)
    columns = (reward, people, longer[places], refuses[places])
    return [Pair(*map(float, row)) for row in zip(*columns, strict=True)]


@lru_cache
def rings(seed: int, *, knows: bool, shuffled: bool = False) -> float:
    """Return 1 where the page tells that length and refusals may be all that the model has in common with people."""
    found = gate(seed, knows=knows, shuffled=shuffled)
    rho = spearman([one.reward for one in found], [one.people for one in found])
    judged = Judged("reward-1", rho, _fixed(found), _accuracy(found), None)
    nothing = dict.fromkeys(("human", "reward", "kl", "refusals", "position", "error"))
    step = Step(round=1, candidate="policy-2", parent="policy-1", verdict="pass", judged=judged, **nothing)
    said = _of_the_model(step)
    print(f"seed {seed}, knows {knows}, shuffled {shuffled}: {rho.estimate:.2f}, fixed {judged.fixed.estimate:.2f}")
    return float(any("length and refusals" in str(one) for one in said))


@pytest.mark.experiment
def test_a_model_that_counts_tokens_and_refusals_is_told(report):
    report(
        CARD,
        "share of 10 worlds in which a reward model that counts tokens and refusals alone is told",
        [rings(seed, knows=False) for seed in SEEDS],
        seeds=SEEDS,
        switched_off="what is held fixed: length and refusals of other pairs",
        without=[rings(seed, knows=False, shuffled=True) for seed in SEEDS],
        at_least=0.9,
        within=(0, 1),
    )


@pytest.mark.experiment
def test_a_model_that_knows_what_people_want_is_not(report):
    report(
        CARD,
        "share of 10 worlds in which a reward model that knows what people want is told",
        [rings(seed, knows=True) for seed in SEEDS],
        seeds=SEEDS,
        switched_off="that knowledge: tokens and refusals alone",
        without=[rings(seed, knows=False) for seed in SEEDS],
        at_most=0.05,
        within=(0, 1),
    )
