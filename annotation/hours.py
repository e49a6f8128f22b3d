"""How much each person worked, for their pay: hours at work, items, days. By name, never by how fast somebody is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.db.models import Count
from django.db.models.functions import TruncDate
from django.utils import timezone

from annotation import sums
from annotation.models import Assignment, Campaign, User
from annotation.sums import Sums


@dataclass
class Hours:
    """What one person did on one day, or in a whole period. Seconds are those in which the page was open and used."""

    username: str
    pseudonym: str
    day: date | None  # None: the period as a whole
    items: int = 0
    corrections: int = 0  # later versions of a judgement
    skipped: int = 0
    active_seconds: float = 0.0
    unmeasured: int = 0  # judgements by programs, or from browsers that told no time

    @property
    def hours(self) -> float:
        return round(self.active_seconds / 3600, 2)

    def add(self, other: Hours) -> None:
        self.items += other.items
        self.corrections += other.corrections
        self.skipped += other.skipped
        self.active_seconds += other.active_seconds
        self.unmeasured += other.unmeasured


def period(since: date, until: date) -> tuple[datetime, datetime]:
    """Return the moments at which these days begin and are over, the last one included, in the server's time zone."""
    zone = timezone.get_default_timezone()
    first = datetime.combine(since, time.min, tzinfo=zone)
    return first, datetime.combine(until + timedelta(days=1), time.min, tzinfo=zone)


def by_day(campaign: Campaign, since: date, until: date, known: Sums | None = None) -> list[Hours]:
    """Return each person's days with work in the period, by name and day. Two SQL statements beside the sums."""
    begins, ends = period(since, until)
    zone = timezone.get_default_timezone()
    judged = [
        (user, date.fromordinal(day), *figures)
        for (user, day), figures in (known or sums.of(campaign)).rows("days")
        if since.toordinal() <= day <= until.toordinal()
    ]
    skipped = (
        Assignment.objects.filter(
            campaign=campaign, state=Assignment.State.SKIPPED, closed_at__gte=begins, closed_at__lt=ends
        )
        .annotate(day=TruncDate("closed_at", tzinfo=zone))
        .values_list("user_id", "day")
        .annotate(n=Count("id"))
        .order_by()
    )
    skips = list(skipped)
    people = User.objects.only("username", "pseudonym").in_bulk({row[0] for row in (*judged, *skips)})
    found: dict[tuple[int, date], Hours] = {}

    def of(user_id: int, day: date) -> Hours:
        person = people[user_id]
        return found.setdefault((user_id, day), Hours(person.username, person.pseudonym, day))

    for user_id, day, items, later, active, unmeasured, _standing in judged:
        of(user_id, day).add(Hours("", "", day, items, later, 0, active, unmeasured))
    for user_id, day, count in skips:
        of(user_id, day).skipped += count
    return sorted(found.values(), key=lambda one: (one.username.casefold(), one.username, one.day or date.min))


def by_person(days: list[Hours]) -> list[Hours]:
    """Return each person's sum over the days given, in the order they come in."""
    sums: dict[str, Hours] = {}
    for one in days:
        sums.setdefault(one.username, Hours(one.username, one.pseudonym, None)).add(one)
    return list(sums.values())


def this_month(today: date) -> tuple[date, date]:
    """Return the first day of the month and today."""
    return today.replace(day=1), today


def as_rows(days: list[Hours]) -> Iterator[list[str | int | float]]:
    """Return a header and a row per person and day, for a spreadsheet."""
    yield ["username", "pseudonym", "day", "items", "corrections", "skipped", "active_seconds", "hours", "unmeasured"]
    for one in days:
        day = one.day.isoformat() if one.day else ""
        counts = [one.items, one.corrections, one.skipped, round(one.active_seconds, 1), one.hours, one.unmeasured]
        yield [one.username, one.pseudonym, day, *counts]
