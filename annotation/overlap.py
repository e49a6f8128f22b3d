"""How far people mark the same places of an image: overlap of boxes, as object detection and segmentation measure it.

Two boxes are one place when their intersection over union exceeds a half. Found, outline and quality are recognition,
segmentation and panoptic quality of A. Kirillov et al. (arXiv:1801.00868, eq. 1), with one person's boxes in the place
of the truth; which of two people that is does not matter, as all three are symmetric. Theirs never overlap within an
image, so that at most one box matches; ours may, and the pairs that overlap most are matched first.

The interval of quality is the percentile bootstrap over items (B. Efron and R. Tibshirani, "An Introduction to the
Bootstrap" (1993), chapter 13): what several people mark in one item hangs together, so items are drawn, not regions.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations, groupby

from annotation.agreement import percentiles
from annotation.feedback import kind
from annotation.feedback.points import Mark
from annotation.models import Campaign, Feedback

LEAST_IOU = 0.5
MOST = 10_000
RESAMPLES = 500
# More items are drawn in so many groups, each a random part of them: as wide, and of a cost that does not grow.
GROUPS = 200


@dataclass(frozen=True)
class Overlap:
    """Figures over pairs of people who judged one item. None where nobody marked anything, or nothing matched."""

    marks: int  # regions of both, over all pairs of people
    found: float | None  # share of them that the other person marked as well, 0 to 1
    outline: float | None  # mean intersection over union of those
    quality: float | None  # the product of the two
    low: float | None = None  # of the 95 % bootstrap interval of quality
    high: float | None = None


@dataclass(frozen=True)
class RegionAgreement:
    items: int  # that two or more people judged, and at least one marked something in
    every: Overlap
    labels: float | None  # share of places that two people marked to which they gave the same label
    by_label: dict[str, Overlap] = field(default_factory=dict)  # by its key


def region_agreement(campaign: Campaign, *, simulated: bool = False) -> RegionAgreement | None:
    """Return how far people, or simulated ones, mark the same; None where no regions are asked for.

    One SQL statement; of a large campaign, the items made last.
    """
    feedback_kind = kind(campaign.kind)
    labels = feedback_kind.mark_labels(campaign.options)
    if not labels:
        return None
    judgements = (
        Feedback.objects.current()
        .filter(campaign=campaign, task__done__gte=2, user__is_simulated=simulated, is_review=False)
        .order_by("-task_id", "user_id")
        .values_list("task_id", "payload")[:MOST]
    )
    items = (
        [marks for _task, payload in group if (marks := feedback_kind.marks(payload)) is not None]
        for _task, group in groupby(judgements.iterator(chunk_size=1000), key=lambda row: row[0])
    )
    return agreement(items, labels)


def agreement(items: Iterable[Sequence[Sequence[Mark]]], labels: Iterable[str]) -> RegionAgreement:
    """Return the figures of what each person marked in each item; whoever marked nothing said so by an empty list."""
    every, each = _Count(), {label: _Count() for label in labels}
    shared = same = count = 0
    for people in items:
        count += len(people) > 1 and any(people)
        for counted in (every, *each.values()):
            counted.next_item()
        for one, other in combinations(people, 2):
            for label in {mark.label for mark in [*one, *other]} & each.keys():
                mine, theirs = ([mark for mark in marks if mark.label == label] for marks in (one, other))
                each[label].add(mine, theirs)
                every.add(mine, theirs)
            places = matches(one, other)
            shared += len(places)
            same += sum(one[first].label == other[second].label for first, second, _iou in places)
    by_label = {label: counted.figures() for label, counted in each.items()}
    return RegionAgreement(count, every.figures(), same / shared if shared else None, by_label)


def matches(one: Sequence[Mark], other: Sequence[Mark]) -> list[tuple[int, int, float]]:
    """Return (place in `one`, place in `other`, intersection over union) of boxes that are one place, each box once."""
    near = [
        (overlap, first, second)
        for first, mark in enumerate(one)
        for second, twin in enumerate(other)
        if mark.image == twin.image and (overlap := iou(mark.box, twin.box)) > LEAST_IOU
    ]
    taken: set[int] = set()
    others: set[int] = set()
    found = []
    for overlap, first, second in sorted(near, key=lambda match: (-match[0], match[1:])):
        if first not in taken and second not in others:
            taken.add(first)
            others.add(second)
            found.append((first, second, overlap))
    return found


def iou(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the intersection over the union of two boxes (left, top, width, height); 0 to 1, at any scale."""
    sides = [
        max(0.0, min(one[axis] + one[axis + 2], other[axis] + other[axis + 2]) - max(one[axis], other[axis]))
        for axis in (0, 1)
    ]
    common = sides[0] * sides[1]
    union = one[2] * one[3] + other[2] * other[3] - common
    return common / union if union > 0 else 0.0


class _Count:
    """Regions of pairs of people by item, and how far those that match overlap."""

    def __init__(self) -> None:
        self._matched = 0
        self._items: list[tuple[int, float]] = []  # of each item: regions, and what those that match overlap, summed
        self._marks, self._overlap = 0, 0.0  # of the item that is counted now

    def next_item(self) -> None:
        """Begin a new item; one in which nobody marked anything tells nothing and is not drawn."""
        if self._marks:
            self._items.append((self._marks, self._overlap))
        self._marks, self._overlap = 0, 0.0

    def add(self, one: Sequence[Mark], other: Sequence[Mark]) -> None:
        found = matches(one, other)
        self._marks += len(one) + len(other)
        self._matched += len(found)
        self._overlap += sum(overlap for _first, _second, overlap in found)

    def figures(self) -> Overlap:
        self.next_item()
        marks, overlap = (sum(part) for part in zip(*self._items, strict=True)) if self._items else (0, 0.0)
        low, high = interval(self._items)
        return Overlap(
            marks=int(marks),
            found=2 * self._matched / marks if marks else None,
            outline=overlap / self._matched if self._matched else None,
            quality=2 * overlap / marks if marks else None,
            low=low,
            high=high,
        )


def interval(items: Sequence[tuple[int, float]], *, seed: int = 0) -> tuple[float | None, float | None]:
    """Return the 95 % interval of quality when items (regions of both, overlap of those that match) are drawn anew.

    (None, None) of fewer than two items: one item does not say how much items differ.
    """
    generator = random.Random(seed)
    drawn = list(items)
    if len(drawn) > GROUPS:
        generator.shuffle(drawn)
        parts = [drawn[first::GROUPS] for first in range(GROUPS)]
        drawn = [(sum(marks for marks, _iou in part), sum(overlap for _marks, overlap in part)) for part in parts]
    if len(drawn) < 2:
        return None, None
    qualities = []
    for _sample in range(RESAMPLES):
        sample = generator.choices(drawn, k=len(drawn))
        qualities.append(2 * sum(overlap for _marks, overlap in sample) / sum(marks for marks, _iou in sample))
    return percentiles(qualities)
