"""Who judges faster than the texts can be read, with what shows it. Nothing here acts on anybody. Plain Python.

A judgement is too fast when its active seconds are below what skimming every word would take, and, where others judged
the same item, also below half of their median: a short word count can mislead, an item that everybody finds easy too.
One sign alone is never a finding: a person is worth a look from two signs on (`Signs.worth_a_look`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from annotation.quality.shares import Share, share

# Adults read 175 to 300 words a minute (Brysbaert 2019, J. Memory and Language 109) and skim up to about 700.
SKIMMED = 12.0  # words per second
LEAST = 20  # judgements of a person below which nothing is said
OFTEN = 0.2  # share of judgements that are too fast, or unread, from which on it is a sign; the lower bound counts
ALWAYS = 0.95  # share of judgements that say the same from which on it is a sign, where others differ
SHOWN = 5


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


def signs(works: Iterable[Work]) -> dict[Hashable, Signs]:
    """Return what shows of each person."""
    by_person: dict[Hashable, list[Work]] = defaultdict(list)
    by_item: dict[Hashable, list[Work]] = defaultdict(list)
    verdicts: Counter[str] = Counter()
    total = 0
    for one in works:
        by_person[one.person].append(one)
        by_item[one.item].append(one)
        verdicts[one.verdict] += 1
        total += 1
    usual = {verdict: count / total for verdict, count in verdicts.items()}
    return {person: _of(person, done, by_item, usual) for person, done in by_person.items()}


def is_too_fast(work: Work, others: Sequence[Work]) -> bool:
    """Return whether one judgement took less than skimming takes, and less than half of what others took for it."""
    if work.seconds is None or not work.words or work.seconds >= work.words / SKIMMED:
        return False
    times = [one.seconds for one in others if one.person != work.person and one.seconds is not None]
    return not times or work.seconds < median(times) / 2


def _of(person: Hashable, done: list[Work], by_item: dict[Hashable, list[Work]], usual: dict[str, float]) -> Signs:
    timed = [one for one in done if one.seconds is not None and one.words]
    fast = [one for one in timed if is_too_fast(one, by_item[one.item])]
    looked = [one.least_read for one in done if one.least_read is not None]
    verdict, times = Counter(one.verdict for one in done).most_common(1)[0]
    too_fast = share(len(fast), len(timed))
    unread = share(sum(read < 0.5 for read in looked), len(looked))
    same = share(times, len(done))
    found = []
    if len(timed) >= LEAST and (too_fast.low or 0) > OFTEN:
        found.append("fast")
    if len(looked) >= LEAST and (unread.low or 0) > OFTEN:
        found.append("unread")
    # Not where nearly everybody says the same of nearly everything.
    if len(done) >= LEAST and times / len(done) >= ALWAYS and usual[verdict] < ALWAYS - 0.15:
        found.append("same")
    return Signs(
        judgements=len(done),
        too_fast=too_fast,
        words_per_second=median(one.words / max(one.seconds or 0.0, 0.1) for one in timed) if timed else None,
        unread=unread,
        same_verdict=same,
        verdict=verdict,
        signs=tuple(found),
        evidence=tuple(sorted(fast, key=lambda one: (one.seconds or 0.0) / one.words)[:SHOWN]),
    )
