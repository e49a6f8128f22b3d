"""How near a judgement is to the right one, in one thing that is judged; the measures that gold is compared by.

Each gives a distance, 0 when they say the same; a judgement hits as long as that is within the tolerance.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from annotation.feedback.points import Point

FAR = float("inf")  # beyond every tolerance
# The points of one thing, by dimension and place.
Points = Mapping[tuple[str, int], Point]


class Measure(ABC):
    """A distance between two sets of points about the same thing."""

    name: str  # in the REST document
    meaning: Promise | str  # of the tolerance, in words
    usual: float  # tolerance where gold names none
    most: float  # the largest tolerance that still asks for something
    graded: bool = False  # whether a near miss counts in part: 1 - distance
    whole: bool = False  # whether all points of an item are one thing, instead of those of each answer

    @abstractmethod
    def distance(self, gold: Points, said: Points) -> float:
        """Return how far what was said is from gold; FAR when something gold answers was not answered."""


class Same(Measure):
    name, meaning, usual, most = "same", gettext_lazy("no tolerance: the same, or not"), 0.0, 0.0

    def distance(self, gold: Points, said: Points) -> float:
        return 0.0 if all(key in said and said[key].value == one.value for key, one in gold.items()) else FAR


class Within(Measure):
    """So many steps of an ordered scale."""

    name, meaning, usual, most = "within", gettext_lazy("steps of the scale"), 1.0, 4.0

    def distance(self, gold: Points, said: Points) -> float:
        return max((abs(said[key].value - one.value) if key in said else FAR for key, one in gold.items()), default=0.0)


class SameSide(Measure):
    """The same of two answers, or neither; and so many steps of how much better it is."""

    name, usual, most = "same_side", 2.0, 3.0
    meaning = gettext_lazy("steps of how much better, on the same side")

    def distance(self, gold: Points, said: Points) -> float:
        return max((_on_side(one.value, said.get(key)) for key, one in gold.items()), default=0.0)


class Half(Measure):
    """The same answer; between "partly" and a plain yes or no lies one half."""

    name, usual, most, graded = "half", 0.0, 0.5, True
    meaning = gettext_lazy("0, or 0.5 to let partly pass for yes and for no")

    def distance(self, gold: Points, said: Points) -> float:
        return max((_apart(one.category, said.get(key)) for key, one in gold.items()), default=0.0)


class Pairs(Measure):
    """The share of pairs that stand in another order: Kendall's distance, a tie taken for an order of its own."""

    name, usual, most = "pairs", 0.2, 1.0
    meaning = gettext_lazy("share of pairs of answers that may stand in another order")
    graded = whole = True

    def distance(self, gold: Points, said: Points) -> float:
        wrong = sum(key not in said or said[key].value != one.value for key, one in gold.items())
        return wrong / len(gold) if gold else 0.0


class Overlap(Measure):
    """How little two sets of categories share: one minus Jaccard's index. A category is in it from level 1 on."""

    name, usual, most = "overlap", 0.5, 1.0
    meaning = gettext_lazy("one minus Jaccard's index of the categories")
    graded = True

    def distance(self, gold: Points, said: Points) -> float:
        wanted, given = (chosen(points) for points in (gold, said))
        return 1 - len(wanted & given) / len(wanted | given) if wanted | given else 0.0


class Corrected(Measure):
    """How much of a correction was not made: the share of words that had to come or go and did not.

    For words that come this is the recall of SARI's additions (W. Xu et al., TACL 4, 2016, section 4), of single words;
    those that go count by recall too, and not by precision as there, as many texts are right and what else was changed
    counts neither way. Where nothing had to change: 1 for any change.
    """

    name, usual, most, graded = "corrected", 0.5, 1.0, True
    meaning = gettext_lazy("share of the words that had to come or go and did not")

    def distance(self, gold: Points, said: Points) -> float:
        was, right = (_words(gold[name, 0].category) for name in ("was", "text"))
        given = _words(said["text", 0].category)
        coming, going = right - was, was - right
        asked = coming.total() + going.total()
        if not asked:
            return float(given != right)
        return 1 - (((given - was) & coming).total() + ((was - given) & going).total()) / asked


SAME, WITHIN, SAME_SIDE, HALF, PAIRS, OVERLAP = Same(), Within(), SameSide(), Half(), Pairs(), Overlap()
CORRECTED = Corrected()
MEASURES: dict[str, Measure] = {one.name: one for one in (SAME, WITHIN, SAME_SIDE, HALF, PAIRS, OVERLAP, CORRECTED)}


@dataclass(frozen=True)
class Likeness:
    """One thing of which gold is right or wrong: its name in `tolerance`, its title, and what it is measured on."""

    name: str  # in the REST document
    title: str
    measure: Measure
    dimensions: Sequence[str]


def chosen(points: Points) -> set[str]:
    """Return the dimensions, which stand for categories, that are above nothing."""
    return {one.dimension for one in points.values() if one.value > 0}


def _words(text: str) -> Counter[str]:
    """Return how often each word and each mark stands in a text."""
    return Counter(re.findall(r"\w+|[^\w\s]", text))


def _on_side(right: int, point: Point | None) -> float:
    if point is None or (point.value > 0) - (point.value < 0) != (right > 0) - (right < 0):
        return FAR
    return abs(point.value - right)


def _apart(right: str, point: Point | None) -> float:
    if point is None:
        return FAR
    if point.category == right:
        return 0.0
    return 0.5 if "partly" in (point.category, right) and {point.category, right} <= {"partly", "yes", "no"} else 1.0
