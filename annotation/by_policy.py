"""What a lead asks of each round and policy: do people agree, which policy wins, how severe are its answers.

All of it is made of the sums that are kept (`annotation.sums`), so it moves while people judge and costs the same for a
million judgements. Simulated people are told apart: figures are of people, unless only simulated ones have judged.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from annotation.agreement import Pattern, alpha_with_interval
from annotation.feedback import kind
from annotation.models import Campaign
from annotation.quality.shares import Share, share
from annotation.sums import Sums


@dataclass(frozen=True)
class Agreed:
    """How far people agree on the items of one round and policy, on one dimension."""

    round: int | None
    policy: str
    dimension: str
    judgements: int  # that stand, in all
    items: int  # items, or answers, that two or more people judged
    alpha: float | None  # Krippendorff's; None where it is undefined
    low: float | None  # 95 %, bootstrap over items
    high: float | None
    undefined: str  # why there is no alpha: "single", "constant"; empty when there is one


@dataclass(frozen=True)
class Wins:
    """How often people preferred one policy's answer to another's, in one batch; a tie counts half."""

    round: int | None
    batch: str
    policy: str  # the later one, whose win rate it is
    other: str
    won: int
    lost: int
    ties: int
    rate: Share


@dataclass(frozen=True)
class Severity:
    """What people said of the answers of one policy in one round: how many were safe, and how severe the others."""

    round: int | None
    policy: str
    levels: tuple[int, int, int, int]  # judgements of answers: none, minor, moderate, severe
    safe: Share


def is_simulated(known: Sums) -> bool:
    """Return whether only simulated people have judged what these figures are made of."""
    said = {key[-1] for table in ("wins", "answers") for key, _ in known.rows(table)}
    said |= {key[3] for key, _ in known.rows("patterns")}
    return said == {True}


def agreed(campaign: Campaign, known: Sums, *, every_dimension: bool = False) -> list[Agreed]:
    """Return the agreement of each round and policy, the newest round first; on the first dimension, or on each."""
    simulated = is_simulated(known)
    judgements: Counter[tuple[int | None, str]] = Counter()
    for (round, policy, _guideline), (count,) in known.rows("volumes"):
        judgements[round, policy] += count
    patterns: dict[tuple[int | None, str, str], Counter[Pattern]] = {}
    for (round, policy, dimension, by_simulated, values), (items,) in known.rows("patterns"):
        if by_simulated == simulated:
            pattern = tuple(map(int, values.split(",")))
            patterns.setdefault((round, policy, dimension), Counter())[pattern] += items
    dimensions = kind(campaign.kind).dimensions(campaign.options)
    found = []
    for (round, policy), count in judgements.items():
        for dimension in dimensions if every_dimension else dimensions[:1]:
            counted = patterns.get((round, policy, dimension.name), Counter())
            alpha, low, high = alpha_with_interval(tuple(sorted(counted.items())), dimension.ordered)
            undefined = "" if alpha is not None else "constant" if counted else "single"
            items = counted.total()
            found.append(Agreed(round, policy, dimension.name, count, items, alpha, low, high, undefined))
    return sorted(found, key=lambda one: (-_number(one.round), one.policy))


def wins(known: Sums) -> list[Wins]:
    """Return the win rates between policies, those of the newest round first; each is of the later policy."""
    simulated = is_simulated(known)
    found = []
    for (round, batch, one, other, by_simulated), (first, second, ties) in known.rows("wins"):
        if by_simulated != simulated:
            continue
        policy, against, won, lost = one, other, first, second
        if _age(other) > _age(one):
            policy, against, won, lost = other, one, second, first
        rate = share(won + ties / 2, won + lost + ties)
        found.append(Wins(round, batch, policy, against, won, lost, ties, rate))
    return sorted(found, key=lambda row: (-_number(row.round), row.batch, row.policy, row.other))


def severities(known: Sums) -> list[Severity]:
    """Return the mix of severities of each policy's answers; empty where nobody is asked about it."""
    simulated = is_simulated(known)
    levels: dict[tuple[int | None, str], list[int]] = {}
    safe: Counter[tuple[int | None, str]] = Counter()
    for (round, origin, dimension, category, by_simulated), (count,) in known.rows("answers"):
        if by_simulated != simulated:
            continue
        if dimension == "severity":
            levels.setdefault((round, origin), [0, 0, 0, 0])[min(3, int(category))] += count
        elif dimension == "safe" and category == "safe":
            safe[round, origin] += count
    found = []
    for (round, origin), counts in levels.items():
        of_safe = share(min(safe[round, origin], sum(counts)), sum(counts))
        none, minor, moderate, severe = counts
        found.append(Severity(round, origin, (none, minor, moderate, severe), of_safe))
    return sorted(found, key=lambda one: (-_number(one.round), one.policy))


def _number(round: int | None) -> int:
    return -1 if round is None else round


def _age(policy: str) -> tuple[int, str]:
    """Return what orders policies by when they came: the number that their name ends in, then the name."""
    ending = re.search(r"(\d{1,9})$", policy)
    return int(ending.group(1)) if ending else -1, policy
