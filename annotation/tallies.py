"""What the judgements say in sum: how often each verdict, and whether the place on the screen mattered."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from django.db.models import Count

from annotation.feedback import kind
from annotation.models import Campaign, Feedback
from annotation.quality.shares import wilson


@dataclass(frozen=True)
class Position:
    """How often the answer shown first was preferred, of the judgements that preferred one."""

    left: int
    right: int
    share: float | None  # left / (left + right)
    low: float | None  # Wilson, 95 %
    high: float | None

    @property
    def n(self) -> int:
        return self.left + self.right

    @property
    def shows_bias(self) -> bool:
        """Return whether an even chance lies outside the interval."""
        return self.low is not None and self.high is not None and not self.low <= 0.5 <= self.high


@dataclass(frozen=True)
class Tally:
    verdicts: list[tuple[str, int]]  # in words as shown on the screen, from "first much better" to "second …"
    position: Position

    @property
    def total(self) -> int:
        return sum(count for _, count in self.verdicts)


def campaign_tally(campaign: Campaign) -> Tally:
    """Return the sums over the standing judgements (1 SQL statement, grouped by the database)."""
    feedback_kind = kind(campaign.kind)
    groups = (
        Feedback.objects.current()
        .filter(campaign=campaign)
        .values_list("payload", "shown_order")
        .annotate(count=Count("id"))
        .order_by()
    )
    counts: Counter[str] = Counter()
    left = right = 0
    for payload, shown_order, count in groups.iterator(chunk_size=2000):
        for label in feedback_kind.tally(payload, options=campaign.options, shown_order=shown_order):
            counts[label] += count
        value = feedback_kind.scale_value(payload)
        if value:
            # A positive value prefers the canonical first answer; `shown_order` tells on which side that stood.
            if (value > 0) == (shown_order[0] == 0):
                left += count
            else:
                right += count
    known = feedback_kind.tally_labels(campaign.options)
    # Verdicts that are switched off now may still have been given before.
    labels = [*known, *sorted(set(counts) - set(known))]
    low, high = wilson(left, left + right)
    share = left / (left + right) if left + right else None
    return Tally([(label, counts[label]) for label in labels], Position(left, right, share, low, high))
