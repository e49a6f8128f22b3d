"""What else decides between two answers: place on the screen, length, Markdown, haste. Plain Python."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from annotation.quality.linear import cholesky, inverse, solve
from annotation.quality.shares import Share, share
from annotation.quality.strengths import Estimate, Z, logistic

ROUNDS = 50
WIDEST = 3.0  # log odds; half an interval that says nothing
LEAST = 20  # choices below which three effects at once say nothing
# Marks of Markdown that a reader sees: headings, list items, bold, code, rows of tables.
_MARKS = re.compile(r"^#{1,6} |^\s*(?:[-*+]|\d{1,3}[.)]) |\*\*[^*\n]+\*\*|`[^`\n]+`|^```|^\|.*\|\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Choice:
    """One answer that was preferred to another, and how the two differ: chosen minus other."""

    stood_first: bool
    doublings: float  # of length: log2 of its characters over the other's
    marks: int  # of Markdown
    seconds: float | None
    person: Hashable
    item: Hashable


@dataclass(frozen=True)
class Biases:
    """How often the chosen answer was …, and what each thing does when the others are held fast."""

    first: Share
    longer: Share
    more_marks: Share
    # The same, of the quarter of judgements that took least time for their length, and of all others.
    first_in_haste: Share
    first_at_leisure: Share
    longer_in_haste: Share
    longer_at_leisure: Share
    # Log odds of being chosen: for standing first, for each doubling of length, for having more Markdown.
    effects: dict[str, Estimate]


def marks(text: str) -> int:
    """Return how many marks of Markdown a reader sees in `text`."""
    return len(_MARKS.findall(text))


def biases(choices: Sequence[Choice]) -> Biases:
    """Return the figures; all of judgements that preferred one answer, so ties do not count."""
    timed = sorted((one for one in choices if one.seconds is not None), key=lambda one: one.seconds or 0.0)
    quarter = len(timed) // 4
    hasty, calm = timed[:quarter], timed[quarter:]
    return Biases(
        first=_first(choices),
        longer=_longer(choices),
        more_marks=_more(choices),
        first_in_haste=_first(hasty),
        first_at_leisure=_first(calm),
        longer_in_haste=_longer(hasty),
        longer_at_leisure=_longer(calm),
        effects=effects(choices),
    )


def effects(choices: Sequence[Choice]) -> dict[str, Estimate]:
    """Return the log odds of each thing with the others held fast; none where they cannot be told apart.

    P(chosen) = σ(w · (x_chosen - x_other)): conditional logistic regression (McFadden 1974), as the style control of
    chatbot leaderboards has it. Intervals are robust to several judgements of one item (sandwich, one term an item).
    """
    if len(choices) < LEAST:
        return {}
    rows = [
        [1.0 if one.stood_first else -1.0, one.doublings, float((one.marks > 0) - (one.marks < 0))] for one in choices
    ]
    names = [
        name for column, name in enumerate(("first", "doubling", "marks")) if len({row[column] for row in rows}) > 1
    ]
    kept = [("first", "doubling", "marks").index(name) for name in names]
    rows = [[row[column] for column in kept] for row in rows]
    if not names:
        return {}
    w = [0.0] * len(names)
    try:
        for _ in range(ROUNDS):
            chances = [logistic(_dot(w, row)) for row in rows]
            gradient = [sum((1 - p) * row[k] for p, row in zip(chances, rows, strict=True)) for k in range(len(names))]
            step = solve(cholesky(_curvature(rows, chances)), gradient)
            w = [a + b for a, b in zip(w, step, strict=True)]
            if max(map(abs, w)) > 30:
                return {}  # one of them decides everything
            if max(map(abs, step)) < 1e-10:
                break
        chances = [logistic(_dot(w, row)) for row in rows]
        cover = inverse(_curvature(rows, chances))
    except ValueError:
        return {}
    by_item: dict[Hashable, list[float]] = defaultdict(lambda: [0.0] * len(names))
    for one, p, row in zip(choices, chances, rows, strict=True):
        for k, x in enumerate(row):
            by_item[one.item][k] += (1 - p) * x
    small = len(by_item) / (len(by_item) - 1) if len(by_item) > 1 else 1.0
    found = {}
    for k, name in enumerate(names):
        width = Z * (small * sum(_dot(cover[k], gradient) ** 2 for gradient in by_item.values())) ** 0.5
        # Standing first is against standing second: twice the coefficient of ±1. So is having more marks.
        scale = 1.0 if name == "doubling" else 2.0
        if scale * width > WIDEST:
            return {}  # two of them always go together
        found[name] = Estimate(scale * w[k], scale * (w[k] - width), scale * (w[k] + width), len(choices))
    return found


def _first(choices: Sequence[Choice]) -> Share:
    return share(sum(one.stood_first for one in choices), len(choices))


def _longer(choices: Sequence[Choice]) -> Share:
    differing = [one for one in choices if one.doublings]
    return share(sum(one.doublings > 0 for one in differing), len(differing))


def _more(choices: Sequence[Choice]) -> Share:
    differing = [one for one in choices if one.marks]
    return share(sum(one.marks > 0 for one in differing), len(differing))


def _curvature(rows: Sequence[Sequence[float]], chances: Sequence[float]) -> list[list[float]]:
    size = len(rows[0])
    matrix = [[0.0] * size for _ in range(size)]
    for p, row in zip(chances, rows, strict=True):
        for i in range(size):
            for j in range(size):
                matrix[i][j] += p * (1 - p) * row[i] * row[j]
    return matrix


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def doublings(chosen: str, other: str) -> float:
    """Return by how many doublings `chosen` is longer than `other`, in characters; an empty text counts as one."""
    return math.log2(max(1, len(chosen)) / max(1, len(other)))
