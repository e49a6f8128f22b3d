"""A guard and a reward model stand in for each other: a scorer that checks answers, and a guard that scores them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from training.core.guard.guard import Guard
from training.core.guard.verdicts import SAFE, UNSAFE
from training.core.records import Message
from training.core.scorers import Columns, Scorer


class Scored:
    """A cost model as a check of answers: its score is read as the log-odds of being safe, as it was trained to be.

    As a check of prompts it reads them as answers to nothing; train it on such rows too. One that was trained on images
    reads those of prompts and answers.
    """

    kind = "scorer"

    def __init__(self, scorer: Scorer, path: str) -> None:
        self.scorer = scorer
        self.path = path

    def probabilities(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> list[dict[str, float] | None]:
        """Return for each answer how likely it is to be safe; None where the model cannot read it."""
        scores = self.scorer.score(prompts, texts)
        return [None if score is None else _both(score) for score in scores]


def _both(score: float) -> dict[str, float]:
    safe = 1 / (1 + math.exp(-min(max(score, -700.0), 700.0)))
    return {SAFE: safe, UNSAFE: 1 - safe}


class Open:
    """No check at all: what is read by nobody passes. Of a guard of answers alone, the side of prompts."""

    kind = "open"

    def probabilities(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> list[dict[str, float] | None]:
        """Return of each text that it is safe."""
        return [{SAFE: 1.0, UNSAFE: 0.0} for _ in texts]


class GuardScorer:
    """A guard's answer check as a scorer: above 0 an answer passes, so the line is where a cost is 0.

    With `as_cost` its column is that cost, of which more is worse, as a cost model's is; the score is the same.
    """

    def __init__(self, guard: Guard, *, as_cost: bool = False) -> None:
        self.guard = guard
        self.as_cost = as_cost

    def score(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> list[float | None]:
        """Return the margin of each answer, in log-odds; None where the guard cannot read it."""
        return self.guard.margins(prompts, texts)

    def columns(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> Columns:
        """Return the same as named scores, or as costs."""
        scores = self.score(prompts, texts)
        values = [None if score is None else [-score if self.as_cost else score] for score in scores]
        return Columns(("guard",), values, [None] * len(texts), scores)
