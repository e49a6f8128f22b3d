"""Card 26: rounds of judgements on what the policy answers now, against as many on what it answered first."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.tables import TablePolicy
from training.core.batch import Pairs, Tokens
from training.core.losses.dpo import dpo
from training.core.objectives import pair_logratios
from training.core.policy import logps

CARD = Card(
    26,
    "Online iterative DPO (RLHF Workflow)",
    "Where people's taste turns round beyond what the first policy answers, four rounds of 400 judgements come to a "
    "better policy than 1600 judgements on the first one's answers; where it does not turn round they do not.",
    "arXiv:2405.07863",
)
SEEDS = (0, 1, 2, 3)
PLACES, LABELS, ROUNDS, STEPS = 16, 1600, 4, 80
BETA = 0.05


def turning(count: torch.Tensor) -> torch.Tensor:
    """Return gold by how often token 0 stands in an answer: best at seven, on the way up where the start answers."""
    return -((count - 7.0) ** 2) / 8


def rising(count: torch.Tensor) -> torch.Tensor:
    """Return gold that never turns round."""
    return 0.2 * count


def pairs_by(policy: TablePolicy, gold, count: int, generator: torch.Generator) -> Tokens:
    """Return pairs that the policy wrote, the preferred ones first: P(a) = σ(gold(a) - gold(b))."""
    chances = policy.probabilities[0].expand(2 * count, PLACES, 2).flatten(0, 1)
    answers = torch.multinomial(chances, 1, generator=generator).view(2, count, PLACES)
    first, second = (gold((side == 0).sum(1).float()) for side in answers)
    right = torch.rand(count, generator=generator) < torch.sigmoid(first - second)
    chosen = torch.where(right.unsqueeze(1), answers[0], answers[1])
    rejected = torch.where(right.unsqueeze(1), answers[1], answers[0])
    ids = torch.cat([torch.zeros(2 * count, 1, dtype=torch.long), torch.cat([chosen, rejected])], 1)
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[:, 0] = False
    return Tokens(ids, torch.ones_like(ids), mask)


def start() -> TablePolicy:
    """Return a policy that says token 0 once in ten."""
    return TablePolicy(torch.tensor([[-2.2, 0.0]]).repeat(PLACES, 1), places=PLACES)


def reached(seed: int, *, rounds: int, gold=turning) -> float:
    """Return the gold after all labels and all steps, in so many rounds; the reference stays the first policy."""
    generator = torch.Generator().manual_seed(seed)
    policy, reference = start(), start().requires_grad_(False)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.05)
    for _ in range(rounds):
        tokens = pairs_by(policy, gold, LABELS // rounds, generator)
        batch = Pairs(tokens, torch.ones(len(tokens) // 2), reference_logps=logps(reference, tokens))
        for _ in range(STEPS // rounds):
            optimizer.zero_grad()
            loss = partial(dpo, beta=BETA, label_smoothing=0.0)
            pair_logratios(
                policy, batch, loss, annotator_weights=False, per_token=False, likelihood_weight=0.0
            ).loss.mean().backward()
            optimizer.step()
    chances = policy.probabilities[0].expand(4000, PLACES, 2).flatten(0, 1)
    answers = torch.multinomial(chances, 1, generator=generator).view(4000, PLACES)
    return float(gold((answers == 0).sum(1).float()).mean())


@pytest.mark.experiment
def test_rounds_beat_the_same_labels_at_once(report):
    online = [reached(seed, rounds=ROUNDS) for seed in SEEDS]
    offline = [reached(seed, rounds=1) for seed in SEEDS]
    report(
        CARD,
        "gold after 1600 labels (the start's is about -3.8)",
        online,
        seeds=SEEDS,
        switched_off="rounds: all labels on the first policy's answers",
        without=offline,
        at_least=-0.8,
        every_seed=True,
    )


@pytest.mark.experiment
def test_where_taste_does_not_turn_round_rounds_gain_nothing(report):
    """A world that favoured rounds by how it is made would show a gain here too."""
    gains = [reached(s, rounds=ROUNDS, gold=rising) - reached(s, rounds=1, gold=rising) for s in SEEDS]
    report(
        CARD,
        "gold by rounds less gold at once, where taste only rises",
        gains,
        seeds=SEEDS,
        switched_off="the control: taste that turns round",
        without=[reached(s, rounds=ROUNDS) - reached(s, rounds=1) for s in SEEDS],
        at_most=0.3,
    )
