"""Pairs out of ratings by the order in which what is rated matters: labels before anybody has compared. Free of torch.

HERON (arXiv:2309.02632, read in its abstract; the rule is that of the authors' code, without its slips: there levels 3
and 4 take the margin of level 2). Its multi-margin loss could not be looked up and is left out. The rule: of
two answers the one that is clearly better in the most important attribute is preferred; where neither is, the next
attribute decides, and where none does the two give no pair. The order is a strict one, so no unit of any attribute can
outweigh another, which a weighted sum cannot promise.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from training.core.records import Pair, Rated, Tally, prompt_hash
from training.errors import TrainingError
from training.recipes.note import Note


@dataclass(frozen=True)
class Level:
    """One attribute of the order: +1 where more is better, -1 where less is, and how far apart counts as a tie."""

    name: str
    sign: int
    margin: float


def compare(one: Mapping[str, float], other: Mapping[str, float], levels: Sequence[Level]) -> tuple[int, int | None]:
    """Return (1, level) when `one` is better, (-1, level) when `other` is, and (0, None) when no level decides.

    A level decides when both have its attribute and differ in it by more than its margin. Swapping the two turns the
    answer round. With margins it is not transitive, so answers may be compared by it but not sorted.
    """
    for number, level in enumerate(levels):
        if level.name in one and level.name in other:
            gap = level.sign * (one[level.name] - other[level.name])
            if abs(gap) > level.margin:
                return (1 if gap > 0 else -1), number
    return 0, None


def levels_of(order: str, margins: str, values: Mapping[str, Sequence[float]]) -> list[Level]:
    """Return the levels that `order` names ("safety, correctness, -length"), the most important first.

    `margins` are multiples of each attribute's standard deviation over `values`, one for each level; the last one
    counts for all that follow. Without an order it is the alphabet's. TrainingError says what is wrong.
    """
    names = [name.strip() for name in order.split(",") if name.strip()] or sorted(values)
    found: list[Level] = []
    try:
        multiples = [float(part) for part in margins.split(",")]
    except ValueError:
        raise TrainingError(
            Note("Margins are numbers with commas between them, not {margins}.", margins=repr(margins))
        ) from None
    if not all(0 <= multiple < float("inf") for multiple in multiples):
        raise TrainingError(Note("A margin is 0 or more."))
    for number, signed in enumerate(names):
        name = signed.lstrip("+-").strip()
        if name not in values:
            known = ", ".join(sorted(values)) or "none"
            raise TrainingError(
                Note("Nobody rated {name}. The attributes that were rated are: {known}.", name=name, known=known)
            )
        if name in [level.name for level in found]:
            raise TrainingError(Note("{name} is in the order of priorities twice.", name=name))
        multiple = multiples[min(number, len(multiples) - 1)]
        found.append(Level(name, -1 if signed.startswith("-") else 1, multiple * pstdev(values[name])))
    return found


def hierarchical(
    records: Sequence[tuple[int, Rated]], tally: Tally, *, priorities: str, margins: str
) -> list[tuple[int, Pair]]:
    """Return a pair for each two rated answers to one prompt between which the order of priorities decides.

    What several people said of one answer is averaged. `tally` counts how many pairs each level decided and how many
    none did: an order whose first level decides everything never asks the others. The margins are told with it, as they
    come from the data and would label an old pair anew when it grows.
    """
    said: dict[str, dict[str, dict[str, list[float]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    first: dict[tuple[str, str], tuple[int, Rated]] = {}
    values: dict[str, list[float]] = defaultdict(list)
    for line, record in records:
        key = prompt_hash(record.prompt)
        first.setdefault((key, record.completion), (line, record))
        for name, points in record.labels.items():
            said[key][record.completion][name].append(points)
            values[name].append(points)
    levels = levels_of(priorities, margins, values)
    pairs: list[tuple[int, Pair]] = []
    for key, answers in said.items():
        rated = {text: {name: fmean(points) for name, points in given.items()} for text, given in answers.items()}
        for one, other in itertools.combinations(rated, 2):
            verdict, level = compare(rated[one], rated[other], levels)
            tally.counts[f"decided_by_{levels[level].name}" if level is not None else "undecided"] += 1
            if verdict:
                chosen, rejected = (one, other) if verdict > 0 else (other, one)
                line, record = first[key, chosen]
                pairs.append((line, Pair(record.prompt, chosen, rejected, domain=record.domain)))
    return pairs
