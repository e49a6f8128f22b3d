"""What the judgements say in sum: how often each verdict, and whether the place on the screen mattered."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from django.utils import translation
from django.utils.translation import gettext_lazy as translated

from annotation import sums
from annotation.feedback import kind
from annotation.models import Campaign
from annotation.quality.shares import wilson
from annotation.sums import Sums


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


def campaign_tally(campaign: Campaign, known: Sums | None = None) -> Tally:
    """Return the sums over the standing judgements, out of the campaign's sums where they are `known` already."""
    known = known or sums.of(campaign)
    feedback_kind = kind(campaign.kind)
    labels = feedback_kind.tally_labels(campaign.options)
    with translation.override(None):
        in_words = dict(zip(feedback_kind.tally_labels(campaign.options), labels, strict=True))
    counts: Counter[str] = Counter()
    for (label,), (count,) in known.rows("verdicts"):
        counts[in_words.get(label) or str(translated(label))] += count
    # Verdicts that are switched off now may still have been given before.
    labels = [*labels, *sorted(set(counts) - set(labels))]
    left, right = known.tables["sides"].get((), (0, 0))
    low, high = wilson(left, left + right)
    share = left / (left + right) if left + right else None
    return Tally([(label, counts[label]) for label in labels], Position(left, right, share, low, high))
