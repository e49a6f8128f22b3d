"""Heads with one linear layer: a score, a cost, a log-odds, rated attributes, and the answers Yes and No."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.core.families.base import Head, near_zero
from training.core.judging import VERDICTS


class ScalarHead(Head):
    """One score a sequence. It has no bias: only differences of scores are learned from, where a bias cancels."""

    kind = "scalar"

    def __init__(self, hidden_size: int, names: Sequence[str] = ("reward",)) -> None:
        super().__init__(hidden_size, names)
        # Scores start near 0 with a spread of about 0.1 on normalised states, so that the first losses are near ln 2.
        self.score = near_zero(nn.Linear(hidden_size, 1, bias=False))

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, D) → (B, 1) in float32."""
        return nn.functional.linear(pooled.float(), self.score.weight.float())

    def combined(self, values: Tensor) -> Tensor:
        return values.squeeze(-1)


class CostHead(Head):
    """One cost a sequence, higher for what is worse, 0 at the border of safe: so it has a bias. Its score is -cost."""

    kind = "cost"

    def __init__(self, hidden_size: int, names: Sequence[str] = ("cost",)) -> None:
        super().__init__(hidden_size, names)
        self.score = near_zero(nn.Linear(hidden_size, 1))
        nn.init.zeros_(self.score.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, D) → (B, 1) in float32."""
        return nn.functional.linear(pooled.float(), self.score.weight.float(), self.score.bias.float())

    def combined(self, values: Tensor) -> Tensor:
        return -values.squeeze(-1)


class AttributesHead(Head):
    """K attributes a sequence, each with weight and bias: absolute ratings have a zero of their own."""

    kind = "attributes"

    def __init__(self, hidden_size: int, names: Sequence[str]) -> None:
        super().__init__(hidden_size, names)
        self.rate = near_zero(nn.Linear(hidden_size, len(names)))
        nn.init.zeros_(self.rate.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, D) → (B, K) in float32."""
        return nn.functional.linear(pooled.float(), self.rate.weight.float(), self.rate.bias.float())


class LogitHead(AttributesHead):
    """One log-odds a sequence: σ of it is a probability, so it has a bias, and 0 means even chances."""

    kind = "logit"

    def __init__(self, hidden_size: int, names: Sequence[str] = ("log_odds",)) -> None:
        super().__init__(hidden_size, names)


class YesNoHead(Head):
    """Whether an answer satisfies a principle: log p(Yes) - log p(No), the difference of two rows of an output layer.

    The other rows cancel: log-softmax takes the same number from both. arXiv:2509.21319.
    """

    kind = "yes_no"

    said = ("Yes", "No")  # what the two rows of the output layer say

    def __init__(self, hidden_size: int, names: Sequence[str] = ("satisfied",)) -> None:
        super().__init__(hidden_size, names)
        self.answers = near_zero(nn.Linear(hidden_size, 2, bias=False))

    def start_from(self, rows: Tensor) -> None:
        """Take the rows (2, D) of a language model's output layer for the two tokens."""
        with torch.no_grad():
            self.answers.weight.copy_(rows)

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, D) → (B, 1) in float32."""
        yes, no = nn.functional.linear(pooled.float(), self.answers.weight.float()).unbind(-1)
        return (yes - no).unsqueeze(-1)


class VerdictHead(YesNoHead):
    """Which of two answers that are read together is better: log p(A) - log p(B). Above 0 it is the first one."""

    kind = "verdict"
    said = VERDICTS

    def __init__(self, hidden_size: int, names: Sequence[str] = ("first_is_better",)) -> None:
        super().__init__(hidden_size, names)


def scalar(hidden_size: int, names: Sequence[str], start: Head | None) -> Head:
    """Return the head to go on with: `start` if it is of this kind, else a new one."""
    return start if isinstance(start, ScalarHead) else ScalarHead(hidden_size)


def cost(hidden_size: int, names: Sequence[str], start: Head | None) -> Head:
    """Return a head for costs."""
    return start if isinstance(start, CostHead) else CostHead(hidden_size)


def attributes(hidden_size: int, names: Sequence[str], start: Head | None) -> Head:
    """Return a head with one output for each attribute that the data rates."""
    if isinstance(start, AttributesHead) and start.names == tuple(names):
        return start
    return AttributesHead(hidden_size, names)


def logit(hidden_size: int, names: Sequence[str], start: Head | None) -> Head:
    """Return a head for a probability."""
    return start if isinstance(start, LogitHead) else LogitHead(hidden_size)


def yes_no(hidden_size: int, names: Sequence[str], start: Head | None) -> Head:
    """Return a head that answers yes or no."""
    return start if isinstance(start, YesNoHead) else YesNoHead(hidden_size)


def verdict(hidden_size: int, names: Sequence[str], start: Head | None) -> Head:
    """Return a head that names the better of two answers."""
    return start if isinstance(start, VerdictHead) else VerdictHead(hidden_size)
