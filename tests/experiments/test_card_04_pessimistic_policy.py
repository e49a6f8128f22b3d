"""Card 4, the policy's side: what aims at the safety test passes it, and what aims at the limit does not.

Margins are doubled, as in the authors' sweep. With single ones every policy is safe as well, but a quarter passes (two
of eight; with log λ climbing, as the authors have it, 0.66 of a hundred). The charge for deviation makes costs steadier
and is not what makes policies pass here: with doubled margins they pass without it too.
"""

from __future__ import annotations

import math
from functools import lru_cache

import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.tables import climb, table_models
from tests.experiments.world import Bandit
from training.core.evaluate.certificate import certify
from training.core.stages.constrain import Pessimistic as PessimisticStage
from training.core.stages.constrain import pessimistic
from training.recipes.combine import First
from training.recipes.stages import LeaveOneOut, Pessimistic, Reinforce

CARD = Card(
    4,
    "HC-RLHF (policy)",
    "Where reward and cost rise together, a policy that is held to the limit ends about it and never passes the safety "
    "test on fresh prompts; one held to what that test would say is safe and passes, and its costs are steadier.",
    "arXiv:2506.08266",
)
SEEDS = tuple(range(8))
PROMPTS, ANSWERS, TESTED, DELTA = 60, 20, 200, 0.1


class Uncharged(Pessimistic):
    """The ablation: λ sees the bound, and an answer is charged its cost alone."""

    target = f"{__name__}:uncharged"


def uncharged(
    *,
    cost_limit: float,
    delta: float,
    test_prompts: int,
    window_weight: float,
    test_weight: float,
    proportional: float,
    integral: float,
    multiplier_limit: float,
    cost_window: int,
) -> PessimisticStage:
    stage = pessimistic(**locals())
    bound = stage.charged
    stage.charged = lambda cost: (cost, bound(cost)[1])  # type: ignore[method-assign]
    return stage


@lru_cache
def trained(seed: int, *, margin: float, part: type[Pessimistic] = Pessimistic) -> tuple[float, bool, float]:
    """Return the policy's true mean cost, whether it passes on 200 fresh prompts, and its costs' true deviation."""
    bandit = Bandit.drawn(PROMPTS, ANSWERS, seed=seed, correlation=0.7)
    rewards, costs = torch.tensor(bandit.rewards), torch.tensor(bandit.costs)
    models = table_models(torch.zeros(PROMPTS, ANSWERS))
    climb(
        models,
        lambda asked, answers: {"reward": rewards[asked, answers[:, 0]], "cost": costs[asked, answers[:, 0]]},
        First(),
        part(cost_limit=0.0, delta=DELTA, test_prompts=TESTED, window_weight=margin, test_weight=margin),
        LeaveOneOut(),
        Reinforce(),
        prompts=PROMPTS,
        n=4,
        iterations=250,
        rate=0.05,
        seed=seed,
    )
    policy: torch.Tensor = models.policy.probabilities[:, 0].double()  # type: ignore[assignment]
    mean = float((policy * costs).sum(1).mean())
    spread = math.sqrt(float((policy * costs.square()).sum(1).mean()) - mean**2)
    draw = torch.Generator().manual_seed(seed)
    asked = torch.randint(PROMPTS, (TESTED,), generator=draw)
    answers = torch.multinomial(policy[asked], 1, generator=draw)[:, 0]
    certificate = certify(costs[asked, answers].tolist(), bound="student", delta=DELTA, limit=0.0)
    return mean, certificate.passed, spread


@pytest.mark.experiment
def test_what_aims_at_the_test_passes_it(report):
    report(
        CARD,
        "share of policies that pass the safety test, 200 prompts, δ = 0.1, margins 2 and 2",
        [float(trained(seed, margin=2.0)[1]) for seed in SEEDS],
        seeds=SEEDS,
        switched_off="margins of 0: held to the limit alone",
        without=[float(trained(seed, margin=0.0)[1]) for seed in SEEDS],
        at_least=0.9,
    )


@pytest.mark.experiment
def test_and_is_safe_in_truth(report):
    report(
        CARD,
        "true mean cost over all prompts, limit 0, margins 2 and 2",
        [trained(seed, margin=2.0)[0] for seed in SEEDS],
        seeds=SEEDS,
        switched_off="margins of 0: held to the limit alone",
        without=[trained(seed, margin=0.0)[0] for seed in SEEDS],
        at_most=0.0,
        every_seed=True,
    )


@pytest.mark.experiment
def test_the_charge_makes_costs_steadier_and_not_only_lower(report):
    report(
        CARD,
        "deviation of the policy's costs, margins 2 and 2",
        [trained(seed, margin=2.0)[2] for seed in SEEDS],
        seeds=SEEDS,
        switched_off="the charge for deviation: λ alone sees the bound",
        without=[trained(seed, margin=2.0, part=Uncharged)[2] for seed in SEEDS],
        at_most=0.8,
    )
