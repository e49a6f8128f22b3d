"""Which judgements a data set is made of: by where they come from, when, how severe, and how far people agreed."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, F, OuterRef
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext as _

from annotation import routing
from annotation.errors import Invalid
from annotation.models import Adjudication, Campaign, Feedback, Gold, QualityReport
from annotation.models.feedback import FeedbackQuerySet

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Filters:
    """What is kept; a value that is None keeps everything. Made of JSON alone, so that a snapshot can tell its own.

    `rounds`, `policies`, `languages` and `batches` keep what belongs to one of these. `since` is inclusive, `until` is
    not; ISO 8601, a date alone being its first moment in the server's zone. `min_agreement` (0 to 1) keeps items on
    whose judgements so many pairs of people agree, which an item that one person judged cannot show.
    """

    split: str | None = None
    batches: Collection[str] | None = None
    include_audit: bool = True
    include_simulated: bool = True
    # Judgements of items whose right answer is known: they tell about people, and a model trained on them would be
    # tested on what people are tested on. So not unless asked.
    include_gold: bool = False
    exclude_users: Collection[int] = ()
    rounds: Collection[int] | None = None
    policies: Collection[str] | None = None
    languages: Collection[str] | None = None
    since: str | datetime.datetime | None = None
    until: str | datetime.datetime | None = None
    min_agreement: float | None = None
    min_severity: int | None = None
    # Of an item that a reviewer decided, only the judgement that stands for it.
    adjudicated: bool = False
    # Only judgements of people whose weight in the quality report is at least this, 1 being the mean; who is not in it
    # yet has 1. The report is that of the moment.
    min_weight: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no row could meet; raises `Invalid`."""
        if self.split is not None and self.split not in SPLITS:
            told = _("There is no split {split!r}; there are: {splits}.")
            message = told.format(split=self.split, splits=", ".join(SPLITS))
            raise Invalid(message, {"split": [message]})
        for name in ("since", "until"):
            moment(name, getattr(self, name))

    def judgements(self, campaign: Campaign) -> FeedbackQuerySet:
        """Return the judgements that stand and pass all that a database can check: not split, agreement, severity."""
        found = Feedback.objects.current().filter(campaign=campaign)
        if self.batches is not None:
            found = found.filter(task__batch__in=self.batches)
        if not self.include_audit:
            found = found.filter(task__is_audit=False)
        if not self.include_gold:
            found = found.exclude(Exists(Gold.objects.filter(task=OuterRef("task"))))
        if not self.include_simulated:
            found = found.filter(user__is_simulated=False)
        if self.exclude_users:
            found = found.exclude(user__in=self.exclude_users)
        if self.rounds is not None:
            found = found.filter(task__meta__round__in=list(self.rounds))
        if self.policies is not None:
            found = found.filter(task__meta__policy__in=list(self.policies))
        if self.languages is not None:
            found = _in_languages(found, campaign, self.languages)
        if (since := moment("since", self.since)) is not None:
            found = found.filter(created_at__gte=since)
        if (until := moment("until", self.until)) is not None:
            found = found.filter(created_at__lt=until)
        if self.adjudicated:
            decided = Adjudication.objects.filter(task=OuterRef("task"), is_current=True)
            # What was amended after it was accepted stands in its newest version: that is all an export ever gives.
            other = decided.exclude(feedback__assignment=OuterRef("assignment"))
            found = found.exclude(Exists(other))
        if self.min_weight is not None:
            report = QualityReport.objects.filter(campaign=campaign).first()
            people = report.figures["people"] if report else []
            light = [one["annotator"] for one in people if one["weight"] < self.min_weight]
            # What is not in the report has the usual weight.
            found = (
                found.exclude(user__pseudonym__in=light)
                if self.min_weight <= 1
                else found.filter(
                    user__pseudonym__in=[one["annotator"] for one in people if one["weight"] >= self.min_weight]
                )
            )
        return found


def moment(name: str, value: str | datetime.datetime | None) -> datetime.datetime | None:
    """Return a moment with its zone; raises `Invalid` for a text that is none."""
    if value is None or isinstance(value, datetime.datetime):
        return value
    try:
        read = parse_datetime(value)
        if read is None and (day := parse_date(value)) is not None:
            read = datetime.datetime.combine(day, datetime.time())
        if read is not None and timezone.is_naive(read):
            read = timezone.make_aware(read)
        if read is not None:
            # A moment near the ends of the calendar has no place in another zone.
            return read.astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        pass
    told = _("Give {name} as a date or a moment in ISO 8601, such as 2026-03-01 or 2026-03-01T12:00:00Z.")
    message = told.format(name=name)
    raise Invalid(message, {name: [message]})


def _in_languages(found: FeedbackQuerySet, campaign: Campaign, languages: Collection[str]) -> FeedbackQuerySet:
    """Return what is about items that ask for one of these languages."""
    wanted = routing.bits(campaign.tags, needs=[f"lang:{language.lower()}" for language in languages])
    if not wanted:
        return found.none()
    return found.alias(asked=F("task__tags").bitand(wanted)).exclude(asked=0)


def agreement_of(points: Sequence[Sequence[Any]]) -> float | None:
    """Return the share of pairs of judgements of one item that say the same, averaged over what was asked.

    `points` has the points of each judgement (`annotation.feedback.points.Point`). None for fewer than two judgements,
    and where a kind has nothing to compare.
    """
    said: dict[tuple[str, int], list[str]] = {}
    for of_one in points:
        for point in of_one:
            said.setdefault((point.dimension, point.place), []).append(point.category)
    shares = [share for categories in said.values() if (share := agreeing(categories)) is not None]
    return sum(shares) / len(shares) if shares else None


def agreeing(categories: Sequence[str]) -> float | None:
    """Return the share of pairs that are equal; None when there is no pair."""
    n = len(categories)
    if n < 2:
        return None
    equal = sum(count * (count - 1) for count in map(categories.count, set(categories)))
    return equal / (n * (n - 1))
