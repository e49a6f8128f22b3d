"""Card 26: people judge the pairs that a reward model doubts, and it labels the others, in rounds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from statistics import fmean

import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.tables import TablePolicy
from training.core.batch import Pairs, Tokens
from training.core.losses.dpo import dpo
from training.core.objectives import pair_logratios
from training.core.policy import logps
from training.core.selection import REWARD, doubted, labelled

CARD = Card(
    26,
    "Proxy labels beside people's (RLHF Workflow)",
    "Where people label a quarter of a round's pairs and a reward model, learned from these alone, the others, more "
    "labels are right when people get the pairs it doubts than when they get as many at random; and the policy comes "
    "further than by people's quarter alone. It holds while a round moves the policy little: where it moves far, the "
    "model becomes sure of what it has wrong, and its labels harm.",
    "arXiv:2405.07863",
)
SEEDS = (0, 1, 2, 3, 4, 5, 6, 7)
PLACES, ROUNDS, PAIRS, STEPS = 32, 4, 400, 10
SHARE, ERROR = 0.25, 0.1  # of the pairs, people's; of their labels, wrong


@dataclass(frozen=True)
class Reached:
    gold: float  # share of the way from the first policy's to the best answers
    right: float  # share of the labels after the first round that gold agrees with


def fitted(differences: torch.Tensor, first_won: torch.Tensor) -> torch.Tensor:
    """Return the weights of Bradley-Terry on what stands in an answer, with a standard normal prior, by Newton."""
    weights = torch.zeros(PLACES)
    for _ in range(20):
        chance = torch.sigmoid(differences @ weights)
        slope = differences.T @ (chance - first_won) + weights
        curve = (differences.T * (chance * (1 - chance))) @ differences + torch.eye(PLACES)
        weights = weights - torch.linalg.solve(curve, slope)
    return weights


def by_model(answers: torch.Tensor, weights: torch.Tensor, *, share: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return which pairs are left to people, and in which of the others the first answer is preferred."""
    scores = answers.float() @ weights  # (2, pairs)
    rows = [
        {"id": str(place), "prompt": [], "pair": (0, 1), "asked": True, "audit": False}
        | {"completions": [{"text": str(side), "scores": {REWARD: float(scores[side, place])}} for side in (0, 1)]}
        for place in range(PAIRS)
    ]
    told = doubted(rows, share=share, by=REWARD)
    first = {row["id"]: row["chosen"] == "0" for row in labelled(told, by=REWARD)}
    return torch.tensor([row["doubtful"] for row in told]), torch.tensor(
        [first.get(str(n), False) for n in range(PAIRS)]
    )


@cache
def reached(seed: int, who: str) -> Reached:
    """Return what four rounds come to. `who` labels after the first, in which people label a quarter, drawn at random.

    "doubt": people the quarter that the model doubts; "chance": people a quarter at random; in both the model labels
    the others. "alone": people's quarter at random and nothing else. "model": the model labels all.
    """
    draw = torch.Generator().manual_seed(seed)
    worth = torch.randn(PLACES, generator=draw)
    policy = TablePolicy(torch.zeros(PLACES, 2), places=PLACES)
    reference = TablePolicy(torch.zeros(PLACES, 2), places=PLACES).requires_grad_(False)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.03)
    weights, seen, said, right = torch.zeros(PLACES), [], [], []
    quarter = torch.arange(PAIRS) < SHARE * PAIRS
    for number in range(ROUNDS):
        chances = policy.probabilities[0].expand(2 * PAIRS, PLACES, 2).flatten(0, 1)
        answers = torch.multinomial(chances, 1, generator=draw).view(2, PAIRS, PLACES)
        differences = (answers[0] - answers[1]).float()
        better = differences @ worth > 0
        judged = better ^ (torch.rand(PAIRS, generator=draw) < ERROR)
        theirs, first, used = quarter, judged, quarter
        if number and who != "alone":
            doubtful, first = by_model(answers, weights, share=SHARE if who == "doubt" else 0.0)
            theirs = quarter if who == "chance" else doubtful
            first, used = torch.where(theirs, judged, first), torch.ones(PAIRS, dtype=torch.bool)
        seen.append(differences[theirs])
        said.append(judged[theirs].float())
        weights = fitted(torch.cat(seen), torch.cat(said))
        if number:
            right.append(float((first == better)[used].float().mean()))
        chosen = torch.where(first.unsqueeze(1), answers[0], answers[1])[used]
        rejected = torch.where(first.unsqueeze(1), answers[1], answers[0])[used]
        learn(policy, reference, chosen, rejected, optimizer)
    share = policy.probabilities[0][:, 1] @ worth - worth.sum() / 2
    return Reached(float(share / (worth.clamp(min=0).sum() - worth.sum() / 2)), fmean(right))


def learn(policy, reference, chosen, rejected, optimizer) -> None:
    ids = torch.cat([torch.zeros(2 * len(chosen), 1, dtype=torch.long), torch.cat([chosen, rejected])], 1)
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[:, 0] = False
    tokens = Tokens(ids, torch.ones_like(ids), mask)
    batch = Pairs(tokens, torch.ones(len(chosen)), reference_logps=logps(reference, tokens))
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = partial(dpo, beta=0.1, label_smoothing=0.0)
        pair_logratios(
            policy, batch, loss, annotator_weights=False, per_token=False, likelihood_weight=0.0
        ).loss.mean().backward()
        optimizer.step()


@pytest.mark.experiment
def test_people_label_what_the_model_doubts(report):
    report(
        CARD,
        "share of labels that are right, 100 of 400 by people, who err in a tenth",
        [reached(seed, "doubt").right for seed in SEEDS],
        seeds=SEEDS,
        switched_off="the doubt: people get as many at random",
        without=[reached(seed, "chance").right for seed in SEEDS],
        at_least=0.87,
        every_seed=True,
    )


@pytest.mark.experiment
def test_the_model_s_labels_add_to_people_s(report):
    alone = [reached(seed, "alone").gold for seed in SEEDS]
    report(
        CARD,
        "share of the way to the best answers, less that by people's quarter alone",
        [reached(seed, "doubt").gold - other for seed, other in zip(SEEDS, alone, strict=True)],
        seeds=SEEDS,
        switched_off="people after the first round: the model labels all",
        without=[reached(seed, "model").gold - other for seed, other in zip(SEEDS, alone, strict=True)],
        at_least=0.015,
        every_seed=True,
    )
