"""Who judges faster than the texts can be read, with what shows it. Nothing here acts on anybody. Plain Python.

A judgement is too fast when its active seconds are below what skimming every word would take, and, where others judged
the same item, also below half of their median: a short word count can mislead, an item that everybody finds easy too.
One sign alone is never a finding: a person is worth a look from two signs on (`Signs.worth_a_look`).

What shows of a person is made of counts (`Counts`), which add up over parts of a campaign that share no item.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from annotation.quality.shares import Share, share

# Adults read 175 to 300 words a minute (Brysbaert 2019, J. Memory and Language 109) and skim up to about 700.
SKIMMED = 12.0  # words per second
LEAST = 20  # judgements of a person below which nothing is said
OFTEN = 0.2  # share of judgements that are too fast, or unread, from which on it is a sign; the lower bound counts
ALWAYS = 0.95  # share of judgements that say the same from which on it is a sign, where others differ
SHOWN = 5
STEPS = 64  # in which a doubling of speed is told apart: a median is within half a per cent


@dataclass
class Counts:
    """What one person's judgements are counted as."""

    judgements: int = 0
    timed: int = 0  # their time and words are known
    fast: int = 0  # of those, too fast
    looked: int = 0  # what was in view is known
    unread: int = 0  # of those, less than half of an answer
    verdicts: Counter[str] = field(default_factory=Counter)
    speeds: Counter[int] = field(default_factory=Counter)  # of words per second, in steps
    fastest: list[Work] = field(default_factory=list)  # some that were too fast, for their length


@dataclass(frozen=True)
class Work:
    """One judgement as work: how long it took, how long its texts are, and how much of them was scrolled into view."""

    person: Hashable
    item: Hashable
    words: int
    seconds: float | None  # active ones
    verdict: str
    least_read: float | None = None  # of the answer that was read least, 0 to 1
    feedback: int = 0


@dataclass(frozen=True)
class Signs:
    """What the judgements of one person show. Each share is of those where it was measured."""

    judgements: int
    too_fast: Share
    words_per_second: float | None  # median
    unread: Share  # of judgements in which less than half of an answer was ever in view
    same_verdict: Share  # the verdict they give most often
    verdict: str
    signs: tuple[str, ...] = ()  # fast, unread, same
    evidence: tuple[Work, ...] = field(default=())  # their fastest for its length first

    @property
    def worth_a_look(self) -> bool:
        return len(self.signs) > 1


def counts(works: Iterable[Work]) -> dict[Hashable, Counts]:
    """Return the counts of each person; whoever judged one of these items must be among them."""
    by_person: dict[Hashable, list[Work]] = defaultdict(list)
    by_item: dict[Hashable, list[Work]] = defaultdict(list)
    for one in works:
        by_person[one.person].append(one)
        by_item[one.item].append(one)
    return {person: _counted(done, by_item) for person, done in by_person.items()}


def signs(counted: Mapping[Hashable, Counts]) -> dict[Hashable, Signs]:
    """Return what shows of each person."""
    verdicts: Counter[str] = Counter()
    for one in counted.values():
        verdicts.update(one.verdicts)
    usual = {verdict: count / verdicts.total() for verdict, count in verdicts.items()}
    return {person: _of(one, usual) for person, one in counted.items()}


def is_too_fast(work: Work, others: Sequence[Work]) -> bool:
    """Return whether one judgement took less than skimming takes, and less than half of what others took for it."""
    if work.seconds is None or not work.words or work.seconds >= work.words / SKIMMED:
        return False
    times = [one.seconds for one in others if one.person != work.person and one.seconds is not None]
    return not times or work.seconds < median(times) / 2


def _counted(done: list[Work], by_item: Mapping[Hashable, Sequence[Work]]) -> Counts:
    timed = [one for one in done if one.seconds is not None and one.words]
    fast = [one for one in timed if is_too_fast(one, by_item[one.item])]
    looked = [one.least_read for one in done if one.least_read is not None]
    return Counts(
        judgements=len(done),
        timed=len(timed),
        fast=len(fast),
        looked=len(looked),
        unread=sum(read < 0.5 for read in looked),
        verdicts=Counter(one.verdict for one in done),
        speeds=Counter(round(STEPS * math.log2(one.words / max(one.seconds or 0.0, 0.1))) for one in timed),
        fastest=_fastest(fast),
    )


def _fastest(fast: Iterable[Work]) -> list[Work]:
    return sorted(fast, key=lambda one: ((one.seconds or 0.0) / one.words, one.feedback))[:SHOWN]


def median_speed(speeds: Mapping[int, int]) -> float | None:
    """Return the median in words per second; between two, their mean."""
    total, passed = sum(speeds.values()), 0
    middle: list[float] = []
    for step in sorted(speeds):
        before, passed = passed, passed + speeds[step]
        middle += [2 ** (step / STEPS) for place in ((total - 1) // 2, total // 2) if before <= place < passed]
    return sum(middle) / 2 if middle else None


def _of(done: Counts, usual: Mapping[str, float]) -> Signs:
    verdict, times = min(done.verdicts.items(), key=lambda pair: (-pair[1], pair[0]))
    too_fast = share(done.fast, done.timed)
    unread = share(done.unread, done.looked)
    same = share(times, done.judgements)
    found = []
    if done.timed >= LEAST and (too_fast.low or 0) > OFTEN:
        found.append("fast")
    if done.looked >= LEAST and (unread.low or 0) > OFTEN:
        found.append("unread")
    # Not where nearly everybody says the same of nearly everything.
    if done.judgements >= LEAST and times / done.judgements >= ALWAYS and usual[verdict] < ALWAYS - 0.15:
        found.append("same")
    return Signs(
        judgements=done.judgements,
        too_fast=too_fast,
        words_per_second=median_speed(done.speeds),
        unread=unread,
        same_verdict=same,
        verdict=verdict,
        signs=tuple(found),
        evidence=tuple(_fastest(done.fastest)),
    )
