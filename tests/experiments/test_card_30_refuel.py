"""Card 30: a dialogue of two turns, where asking back pays only for who knows what to do with the answer."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from tests.experiments.frame import Card
from training.core.losses.refuel import refuel

CARD = Card(
    30,
    "REFUEL",
    "Regressing outcomes of the policy's own continuations learns to ask back first and act then; training the last "
    "turn alone, or crediting the first turn with how the first policy would have gone on, does not.",
    "arXiv:2410.04612",
)
SEEDS = (0, 1, 2)
ROUNDS, PAIRS, ETA = 12, 512, 4.0
ANSWERED = 0.4  # what answering at once pays; asking back pays 1 if the right one of the second turns follows


@dataclass
class Policy:
    """Logits of the first turn (answer at once, ask back) and of the second turn after asking back (8 ways)."""

    first: torch.Tensor
    second: torch.Tensor

    @classmethod
    def start(cls) -> Policy:
        return cls(torch.tensor([1.0, 0.0], requires_grad=True), torch.tensor([-1.0] + [0.0] * 7, requires_grad=True))

    def frozen(self) -> Policy:
        return Policy(self.first.detach().clone(), self.second.detach().clone())

    def value(self) -> float:
        """Return what it earns on average."""
        first, second = self.first.detach().softmax(0), self.second.detach().softmax(0)
        return float(first[0] * ANSWERED + first[1] * second[0])


def outcomes(turns: torch.Tensor, going_on: Policy, draw: torch.Generator) -> torch.Tensor:
    """Return what dialogues earn that begin with these first turns and go on by a policy."""
    second = torch.multinomial(going_on.second.detach().softmax(0), len(turns), replacement=True, generator=draw)
    return torch.where(turns == 0, torch.tensor(ANSWERED), (second == 0).float())


def learned(seed: int, *, first_turn: bool = True, own_continuation: bool = True) -> float:
    """Return what the policy earns after all rounds, each on dialogues of its own."""
    draw = torch.Generator().manual_seed(seed)
    policy = Policy.start()
    start = policy.frozen()
    for _ in range(ROUNDS):
        before = policy.frozen()
        going_on = before if own_continuation else start
        turns = torch.multinomial(before.first.softmax(0), 2 * PAIRS, replacement=True, generator=draw).view(2, PAIRS)
        earned = torch.stack([outcomes(side, going_on, draw) for side in turns])
        last = torch.multinomial(before.second.softmax(0), 2 * PAIRS, replacement=True, generator=draw).view(2, PAIRS)
        right = (last == 0).float()
        optimizer = torch.optim.Adam([policy.first, policy.second], lr=0.05)
        for _ in range(40):
            optimizer.zero_grad()
            h = policy.first.log_softmax(0)[turns] - before.first.log_softmax(0)[turns]
            loss = refuel(h[0], h[1], earned[0] - earned[1], eta=ETA).mean() * first_turn
            h = policy.second.log_softmax(0)[last] - before.second.log_softmax(0)[last]
            loss = loss + refuel(h[0], h[1], right[0] - right[1], eta=ETA).mean()
            loss.backward()
            optimizer.step()
    return policy.value()


@pytest.mark.experiment
def test_credit_by_its_own_continuations_learns_to_ask_back(report):
    found = [learned(seed) for seed in SEEDS]
    report(
        CARD,
        "what the policy earns (1 at most, 0.4 for answering at once)",
        found,
        seeds=SEEDS,
        switched_off="the first turn: the last one alone is trained",
        without=[learned(seed, first_turn=False) for seed in SEEDS],
        at_least=0.85,
        every_seed=True,
    )
    report(
        CARD,
        "what the policy earns, credited by its own continuations",
        found,
        seeds=SEEDS,
        switched_off="its own continuations: the first policy's",
        without=[learned(seed, own_continuation=False) for seed in SEEDS],
        at_least=0.85,
        every_seed=True,
    )
