"""Whether people can tell an item whose answer is known, or have been told its answer. Plain Python.

Nothing here proves that somebody knows: each check is a share or a difference with its 95 % interval, and says what it
would be if nobody did. A leak is named where the interval excludes that.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from annotation.quality.shares import Share, share

SHINGLE = 3  # words in a row
ALIKE = 0.6  # Jaccard's index of shingles from which on two texts are nearly the same
LEAST = 5  # cases below which nothing is said
OFTEN = 0.8  # of all gold right for who always says the same, from which on that is a leak


@dataclass(frozen=True)
class Seen:
    """One judgement of an item with a known answer, as far as leaks are looked for."""

    item: Hashable
    person: Hashable
    right: float  # 0 to 1, over the things compared
    right_stood_first: bool | None  # None where no side is right
    pace: float | None  # seconds per word over the person's median of ordinary items


@dataclass(frozen=True)
class Finding:
    """What one check found. `share` is what was counted; `by_chance` is what it would be if nobody could tell."""

    check: str
    leaks: bool
    share: Share
    by_chance: float


@dataclass(frozen=True)
class Change:
    """By how much later answers are right more often than earlier ones: a difference of shares with its interval."""

    estimate: float | None
    low: float | None
    high: float | None
    earlier: Share
    later: Share

    @property
    def leaks(self) -> bool:
        return self.low is not None and self.low > 0


def same_side(seen: Iterable[Seen]) -> Finding:
    """Return how often the right answer stood first on the screen; even where it is drawn."""
    sides = [one.right_stood_first for one in seen if one.right_stood_first is not None]
    found = share(sum(sides), len(sides))
    return Finding("side", len(sides) >= LEAST and found.excludes(0.5), found, 0.5)


def comes_first(firsts: int, *, people: int, percent: float) -> Finding:
    """Return the share of `people` whose very first item was one; `percent` of all items are, or 0 where not mixed."""
    found = share(firsts, people)
    chance = max(percent / 100, 0.05)
    return Finding("first", people >= LEAST and found.low is not None and found.low > chance, found, chance)


def answered_faster(seen: Iterable[Seen]) -> Finding:
    """Return how often people took less time per word than for half of their other items; by chance in half."""
    paces = [one.pace for one in seen if one.pace is not None]
    found = share(sum((pace < 1) + (pace == 1) / 2 for pace in paces), len(paces))
    # Easy items are a little faster, and known ones much: so the typical one must also take less than two thirds.
    fast = bool(paces) and median(paces) < 2 / 3
    leaks = len(paces) >= LEAST and fast and found.low is not None and found.low > 0.5
    return Finding("faster", leaks, found, 0.5)


@dataclass(frozen=True)
class Carefulness:
    """How often one person is right where the answer is known, and says what others say where it is not."""

    person: Hashable
    right: Share
    alike: Share  # of pairs of their judgements with somebody else's of the same ordinary item

    def knows(self, by_chance: float) -> bool:
        """Return whether they are right, and elsewhere like others no more than by chance: as who can tell gold."""
        if self.right.n < LEAST or self.alike.n < 4 * LEAST or self.right.low is None:
            return False
        low, high = self.alike.low or 0.0, self.alike.high or 0.0
        return low <= by_chance and self.right.low > high


def careful_with_gold(people: Sequence[Carefulness], by_chance: float) -> Finding:
    """Return the share of people who take care only where the answer is known; one of them is enough to look."""
    told = [one for one in people if one.right.n >= LEAST and one.alike.n >= 4 * LEAST]
    knowing = [one for one in told if one.knows(by_chance)]
    return Finding("careful", bool(knowing), share(len(knowing), len(told)), 0.0)


def always_the_same(hits: Sequence[bool], by_chance: float) -> Finding:
    """Return how much gold is right for who always gives the commonest answer; `hits` says it of each."""
    found = share(sum(hits), len(hits))
    return Finding("same", len(hits) >= LEAST and (found.estimate or 0.0) >= OFTEN, found, by_chance)


def later_over_earlier(seen: Iterable[Seen]) -> Change:
    """Return by how much the later half of each item's answers is right more often than its earlier half.

    `seen` in the order of time. Each item is its own control, as easy items get more answers; of an odd number the
    middle one is left out. The interval is Newcombe's hybrid of two of Wilson's (Statistics in Medicine 17, 1998,
    method 10).
    """
    by_item: dict[Hashable, list[float]] = defaultdict(list)
    for one in seen:
        by_item[one.item].append(one.right)
    early: list[float] = []
    late: list[float] = []
    for rights in by_item.values():
        half = len(rights) // 2
        early += rights[:half]
        late += rights[len(rights) - half :]
    earlier, later = share(sum(early), len(early)), share(sum(late), len(late))
    if len(late) < LEAST:
        return Change(None, None, None, earlier, later)
    estimate, low, high = difference(later, earlier)
    return Change(estimate, low, high, earlier, later)


def difference(one: Share, other: Share) -> tuple[float, float, float]:
    """Return how much larger the first of two shares is, with its interval (Newcombe 1998, method 10)."""
    p1, l1, u1 = (value or 0.0 for value in (one.estimate, one.low, one.high))
    p2, l2, u2 = (value or 0.0 for value in (other.estimate, other.low, other.high))
    low = p1 - p2 - ((p1 - l1) ** 2 + (u2 - p2) ** 2) ** 0.5
    high = p1 - p2 + ((u1 - p1) ** 2 + (p2 - l2) ** 2) ** 0.5
    return p1 - p2, low, high


def shingles(text: str) -> frozenset[tuple[str, ...]]:
    """Return the runs of `SHINGLE` words of a text, without case and punctuation; of a shorter text the whole."""
    words = re.findall(r"\w+", text.lower())
    if len(words) <= SHINGLE:
        return frozenset({tuple(words)}) if words else frozenset()
    return frozenset(tuple(words[i : i + SHINGLE]) for i in range(len(words) - SHINGLE + 1))


def twins(known: Mapping[Any, str], others: Iterable[tuple[Any, str]]) -> list[tuple[Any, Any, float]]:
    """Return (known item, other item, Jaccard's index) of texts that are nearly the same, the most alike first.

    Only what shares a run of words with a known item is compared, so time grows with `others` and not with pairs.
    """
    of_known = {item: shingles(text) for item, text in known.items()}
    where: dict[tuple[str, ...], list[Any]] = defaultdict(list)
    for item, runs in of_known.items():
        for run in runs:
            where[run].append(item)
    found = []
    for item, text in others:
        runs = shingles(text)
        shared = Counter(one for run in runs for one in where.get(run, ()))
        for one, count in shared.items():
            index = count / (len(runs) + len(of_known[one]) - count)
            if index >= ALIKE:
                found.append((one, item, index))
    return sorted(found, key=lambda row: (-row[2], str(row[0]), str(row[1])))
