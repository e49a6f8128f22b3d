"""What else decides between two answers: place on the screen, length, Markdown, haste. Plain Python.

All figures are of counts: choices that are alike come as one, with their number. So lengths and times are told apart by
steps of 4 % (`STEPS`), which keeps the counts of a million judgements as few as those of a thousand.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

from annotation.quality.linear import cholesky, inverse, solve
from annotation.quality.shares import Share, share
from annotation.quality.strengths import Estimate, Z, logistic

ROUNDS = 50
WIDEST = 3.0  # log odds; half an interval that says nothing
LEAST = 20  # choices below which three effects at once say nothing
STEPS = 16  # in which a doubling of length, or of time, is told apart
# Marks of Markdown that a reader sees: headings, list items, bold, code, rows of tables.
_MARKS = re.compile(r"^#{1,6} |^\s*(?:[-*+]|\d{1,3}[.)]) |\*\*[^*\n]+\*\*|`[^`\n]+`|^```|^\|.*\|\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Choice:
    """One answer that was preferred to another, and how the two differ: chosen minus other."""

    stood_first: bool
    doublings: float  # of length: log2 of its characters over the other's
    marks: int  # of Markdown
    item: Hashable
    times: int = 1  # judgements of the item that chose so
    alike: int = 1  # items that were judged like this one

    @property
    def judgements(self) -> int:
        return self.times * self.alike


@dataclass(frozen=True)
class Timed:
    """Choices that took about the same time: of how many the chosen one stood first, was longer, differed in length."""

    choices: int
    first: int
    longer: int
    differing: int


@dataclass(frozen=True)
class Biases:
    """How often the chosen answer was …, and what each thing does when the others are held fast."""

    first: Share
    longer: Share
    more_marks: Share
    # The same, of the quarter of judgements that took least time, as near as steps of time allow, and of all others.
    first_in_haste: Share
    first_at_leisure: Share
    longer_in_haste: Share
    longer_at_leisure: Share
    # Log odds of being chosen: for standing first, for each doubling of length, for having more Markdown.
    effects: dict[str, Estimate]


def marks(text: str) -> int:
    """Return how many marks of Markdown a reader sees in `text`."""
    return len(_MARKS.findall(text))


def step_of_time(seconds: float) -> int:
    """Return the step of `STEPS` a doubling that a time is in; below a tenth of a second all are one."""
    return round(STEPS * math.log2(max(seconds, 0.1)))


def steps_longer(one: str, other: str) -> int:
    """Return by how many steps of `STEPS` a doubling `one` is longer, in characters; 0 only where they are equal."""
    found = doublings(one, other)
    return (1 if found > 0 else -1) * max(1, round(STEPS * abs(found))) if found else 0


def biases(choices: Sequence[Choice], timed: Mapping[int, Timed]) -> Biases:
    """Return the figures; all of judgements that preferred one answer, so ties do not count. `timed`: by step."""
    quarter, passed = sum(one.choices for one in timed.values()) / 4, 0
    hasty: list[Timed] = []
    calm: list[Timed] = []
    for step in sorted(timed):
        (hasty if passed + timed[step].choices / 2 <= quarter else calm).append(timed[step])
        passed += timed[step].choices
    return Biases(
        first=share(*_counts(choices, lambda one: one.stood_first, lambda one: True)),
        longer=share(*_counts(choices, lambda one: one.doublings > 0, lambda one: bool(one.doublings))),
        more_marks=share(*_counts(choices, lambda one: one.marks > 0, lambda one: bool(one.marks))),
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
    if sum(one.judgements for one in choices) < LEAST:
        return {}
    counts = [one.judgements for one in choices]
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
            gradient = [
                sum(n * (1 - p) * row[k] for n, p, row in zip(counts, chances, rows, strict=True))
                for k in range(len(names))
            ]
            step = solve(cholesky(_curvature(rows, chances, counts)), gradient)
            w = [a + b for a, b in zip(w, step, strict=True)]
            if max(map(abs, w)) > 30:
                return {}  # one of them decides everything
            if max(map(abs, step)) < 1e-10:
                break
        chances = [logistic(_dot(w, row)) for row in rows]
        cover = inverse(_curvature(rows, chances, counts))
    except ValueError:
        return {}
    by_item: dict[Hashable, list[float]] = defaultdict(lambda: [0.0] * len(names))
    alike = {one.item: one.alike for one in choices}
    for one, p, row in zip(choices, chances, rows, strict=True):
        for k, x in enumerate(row):
            by_item[one.item][k] += one.times * (1 - p) * x
    items = sum(alike.values())
    small = items / (items - 1) if items > 1 else 1.0
    found = {}
    for k, name in enumerate(names):
        spread = sum(alike[item] * _dot(cover[k], gradient) ** 2 for item, gradient in by_item.items())
        width = Z * (small * spread) ** 0.5
        # Standing first is against standing second: twice the coefficient of ±1. So is having more marks.
        scale = 1.0 if name == "doubling" else 2.0
        if scale * width > WIDEST:
            return {}  # two of them always go together
        found[name] = Estimate(scale * w[k], scale * (w[k] - width), scale * (w[k] + width), sum(counts))
    return found


def _counts(
    choices: Sequence[Choice], is_case: Callable[[Choice], bool], counts: Callable[[Choice], bool]
) -> tuple[int, int]:
    """Return how many judgements are a case, and of how many."""
    return (
        sum(one.judgements for one in choices if counts(one) and is_case(one)),
        sum(one.judgements for one in choices if counts(one)),
    )


def _first(timed: Sequence[Timed]) -> Share:
    return share(sum(one.first for one in timed), sum(one.choices for one in timed))


def _longer(timed: Sequence[Timed]) -> Share:
    return share(sum(one.longer for one in timed), sum(one.differing for one in timed))


def _curvature(rows: Sequence[Sequence[float]], chances: Sequence[float], counts: Sequence[int]) -> list[list[float]]:
    size = len(rows[0])
    matrix = [[0.0] * size for _ in range(size)]
    for n, p, row in zip(counts, chances, rows, strict=True):
        for i in range(size):
            for j in range(size):
                matrix[i][j] += n * p * (1 - p) * row[i] * row[j]
    return matrix


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def doublings(chosen: str, other: str) -> float:
    """Return by how many doublings `chosen` is longer than `other`, in characters; an empty text counts as one."""
    return math.log2(max(1, len(chosen)) / max(1, len(other)))
