"""Which two of a prompt's completions are worth a person's time. Standard library only."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Sequence
from typing import Any

from training.errors import TrainingError

REWARD = "reward"  # the scorer that the rules go by, where the spec lists it


def select(rows: Sequence[dict[str, Any]], *, selection: str, audit_share: float, seed: int) -> list[dict[str, Any]]:
    """Return the rows of a sample run with `pair`, `audit` and `selection` (the rule that chose the pair) in each."""
    audit = audit_slice((row["id"] for row in rows), audit_share=audit_share, seed=seed)
    selected = []
    for row in rows:
        answers = row["completions"]
        pair, rule = choose_pair(
            [answer["text"] for answer in answers],
            [answer["scores"].get(REWARD, math.nan) for answer in answers],
            selection="random" if row["id"] in audit else selection,
            rng=random.Random(f"pair {seed} {row['id']}"),
        )
        selected.append({**row, "pair": pair, "audit": row["id"] in audit, "selection": rule})
    return selected


def audit_slice(prompt_ids: Iterable[str], *, audit_share: float, seed: int) -> frozenset[str]:
    """Return the prompts of the audit slice: `audit_share` of them, drawn by `seed`, whatever their order in the file.

    Their pairs are random under every rule and never trained on, which keeps one sample of judgements that no rule
    and no reward model has bent.
    """
    ordered = sorted(prompt_ids)
    return frozenset(random.Random(f"audit {seed}").sample(ordered, round(audit_share * len(ordered))))


def choose_pair(
    texts: Sequence[str], scores: Sequence[float] | None, *, selection: str, rng: random.Random
) -> tuple[tuple[int, int] | None, str]:
    """Return the positions of the two completions to ask about, in random order, and the rule that chose them.

    Completions that differ in blanks alone count as one; the pair is None when fewer than two are left. Without
    usable scores, or where all scores are equal, the rule falls back to ``random``.
    """
    distinct: dict[str, int] = {}
    for index, text in enumerate(texts):
        distinct.setdefault(" ".join(text.split()), index)
    indices = list(distinct.values())
    if len(indices) < 2:
        return None, selection
    if selection not in CHOOSERS:
        raise TrainingError(f"There is no selection rule called {selection}. Choose one of {', '.join(CHOOSERS)}.")
    if selection != "random" and not _informative(scores, indices):
        selection = "random"
    pair = CHOOSERS[selection](indices, scores or (), rng)
    # The order must not tell which of the two the rule thought better.
    rng.shuffle(pair)
    return (pair[0], pair[1]), selection


def _informative(scores: Sequence[float] | None, indices: list[int]) -> bool:
    if scores is None:
        return False
    seen = [scores[i] for i in indices]
    return all(map(math.isfinite, seen)) and len(set(seen)) > 1


def _random(indices: list[int], scores: Sequence[float], rng: random.Random) -> list[int]:
    return rng.sample(indices, 2)


def _best_worst(indices: list[int], scores: Sequence[float], rng: random.Random) -> list[int]:
    """Return best and worst, the `max_min` rule of the RLHF Workflow's released loop."""
    return [max(indices, key=lambda i: scores[i]), min(indices, key=lambda i: scores[i])]


def _most_uncertain(indices: list[int], scores: Sequence[float], rng: random.Random) -> list[int]:
    """Return the two whose Bradley–Terry preference is nearest to one half: the smallest gap between two scores."""
    ordered = sorted(indices, key=lambda i: scores[i])
    low, high = min(itertools.pairwise(ordered), key=lambda p: scores[p[1]] - scores[p[0]])
    return [low, high]


CHOOSERS = {"best_worst": _best_worst, "most_uncertain": _most_uncertain, "random": _random}
