"""How far a campaign is, for its lead; and how far one person is, for themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Any

from django.core.cache import cache
from django.db.models import BigIntegerField, Count, DateTimeField, F, IntegerField, Q, QuerySet, Subquery, Sum
from django.utils import timezone

from annotation import sums
from annotation.limits import full_batches, judged_since, midnight, monday, rest_until
from annotation.models import Assignment, Block, Campaign, Feedback, Gold, Task, User
from annotation.prepared import Call, Rows, together
from annotation.rotation import MIXED
from annotation.routing import open_to
from annotation.sums import Sums

# Up to so many open items, counting them all costs less than a millisecond or two.
EXACT = 1000


@dataclass(frozen=True)
class PersonProgress:
    username: str
    pseudonym: str
    is_simulated: bool
    done: int
    today: int
    skipped: int
    holding: int  # items on their screen or prefetched
    active_seconds: float | None  # mean per judgement, where the browser measured it
    seconds: float | None  # mean from hand-out to submit
    last_at: datetime | None


@dataclass(frozen=True)
class Progress:
    tasks: int  # without the withdrawn ones
    complete: int
    judgements: int  # that stand, also those of withdrawn items
    wanted: int
    open_leases: int
    skipped: int
    withdrawn: int = 0
    given_to: int = 0  # people
    people: list[PersonProgress] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Return the share of wanted judgements that are there, 0 to 1."""
        return min(1.0, self.judgements / self.wanted) if self.wanted else 0.0


@dataclass(frozen=True)
class MyProgress:
    done: int
    today: int
    skipped: int
    available: int  # items this person could still be given, besides those they hold
    holding: int
    set_aside: int = 0  # for later; those of them that are free count as available too

    # How many more items this person may have today; None where there is no limit.
    left_today: int | None = None
    # Whether items of some batch are for other people now, since this person judged their part of it.
    quota_reached: bool = False
    left_this_week: int | None = None
    # Until when this person rests from what is unpleasant to read; None when they need not.
    rest_until: datetime | None = None
    # Whether the lead lets this person judge nothing more here for now.
    held_back: bool = False

    @property
    def limit_reached(self) -> bool:
        return self.left_now == 0

    @property
    def left_now(self) -> int | None:
        """Return how many more items this person may have in this day and week; None where there is no limit."""
        if self.held_back:
            return 0
        return min((left for left in (self.left_today, self.left_this_week) if left is not None), default=None)

    @property
    def total(self) -> int:
        """Return how many items this person has judged or could still judge."""
        return self.done + self.holding + self.available


@dataclass(frozen=True)
class Day:
    """What one person did in a campaign since midnight, for themselves."""

    judged: int
    active_seconds: float  # in all, where the browser measured it
    typical_seconds: float | None  # the median of one judgement's active seconds


def campaign_progress(campaign: Campaign, known: Sums | None = None) -> Progress:
    """Return the figures of a campaign. Three SQL statements beside the sums."""
    known = known or sums.of(campaign)
    figures = dict.fromkeys(("tasks", "complete", "withdrawn", "judgements", "wanted"), 0)
    for (_round, _policy, _batch, state), (items, done, wanted, _priority, _since) in known.rows("items"):
        figures["judgements"] += done
        if state == Task.State.WITHDRAWN:
            figures["withdrawn"] += items
            continue
        figures["tasks"] += items
        figures["wanted"] += wanted
        figures["complete"] += items if state == Task.State.COMPLETE else 0
    people = _people(campaign, known)
    return Progress(
        **figures,
        open_leases=sum(person.holding for person in people),
        skipped=sum(person.skipped for person in people),
        given_to=len(people),
        people=people,
    )


def items_of(campaigns: Sequence[Campaign]) -> dict[int, tuple[int, int]]:
    """Return by campaign how many items it has, and how many of them are complete.

    Two statements for all small ones together, which have no block yet; a large one's are in the sums that are kept.
    """
    ids = [campaign.pk for campaign in campaigns]
    large = set(Block.objects.filter(campaign__in=ids).order_by().values_list("campaign_id", flat=True).distinct())
    complete = Count("id", filter=Q(state=Task.State.COMPLETE))
    small = Task.objects.filter(campaign__in=set(ids) - large).order_by().values_list("campaign_id")
    found = {pk: (items, done) for pk, items, done in small.annotate(items=Count("id"), done=complete)}
    for campaign in campaigns:
        if campaign.pk in large:
            rows = [(key[3], row[0]) for key, row in sums.of(campaign).rows("items")]
            done = sum(items for state, items in rows if state == Task.State.COMPLETE)
            found[campaign.pk] = (sum(items for _state, items in rows), done)
    return {pk: found.get(pk, (0, 0)) for pk in ids}


def batch_progress(campaign: Campaign, batch: str) -> Progress:
    """Return the figures of one batch of a campaign, counted from its rows; without its people. Two SQL statements."""
    tasks = Task.objects.filter(campaign=campaign, batch=batch)
    leases = Assignment.objects.filter(campaign=campaign, task__batch=batch)
    wanted = ~Q(state=Task.State.WITHDRAWN)
    figures = tasks.aggregate(
        tasks=Count("id", filter=wanted),
        complete=Count("id", filter=Q(state=Task.State.COMPLETE)),
        withdrawn=Count("id", filter=~wanted),
        judgements=Sum("done", default=0),
        wanted=Sum("wanted", filter=wanted, default=0),
    )
    states = leases.aggregate(
        open_leases=Count("id", filter=Q(state=Assignment.State.OPEN)),
        skipped=Count("id", filter=Q(state=Assignment.State.SKIPPED)),
        given_to=Count("user_id", distinct=True),
    )
    return Progress(**figures, **states)


def my_progress(user: User, campaign: Campaign) -> MyProgress:
    """Return how far this person is in a campaign. One or two SQL statements, on the annotator's hot path.

    What is available is exact up to `EXACT` open items. Above, where counting them would cost more than handing one
    out, it is counted once a minute, less what this person took since.
    """
    who = {"user": user.pk, "campaign": campaign.pk}
    asked: list[Call[Any]] = [_HAD.asked(**who, midnight=midnight())]
    full = full_batches(user, campaign) if campaign.is_open else []
    key = f"available-{campaign.pk}-{user.pk}-{campaign.barred}-{len(full)}"
    counted: tuple[int, int] | None = cache.get(key) if campaign.is_open else None
    if campaign.is_open and not full and not campaign.barred and (counted is None or _are_few(counted)):
        asked.append(_FEW.asked(**who))
    counted_now, *few = together(*asked)
    _, done, skipped, holding, today, aside, gold = counted_now[0] if counted_now else (campaign.pk, 0, 0, 0, 0, 0, 0)
    available = 0
    if campaign.is_open:
        taken = done + skipped + holding - gold
        seen = few[0][0] if few else None
        available = max(0, _available(user, campaign, taken=taken, full=full, few=seen, key=key, counted=counted))
        if available and campaign.gold_percent:
            available += _gold_to_come(campaign, others=done + skipped + holding - gold + available, had=gold)
    left_today = max(0, campaign.daily_limit - today) if campaign.daily_limit else None
    left_this_week = None
    if most := campaign.weekly_limit:
        left_this_week = most - judged_since(user, campaign, monday(), most=most)
    return MyProgress(
        done=done,
        today=today,
        skipped=skipped,
        available=available,
        holding=holding,
        set_aside=aside,
        left_today=left_today,
        quota_reached=bool(full),
        left_this_week=left_this_week,
        rest_until=rest_until(user, campaign) if campaign.is_open else None,
        held_back=campaign.held_back,
    )


def judged_by_older_guidelines(user: User, campaign: Campaign) -> bool:
    """Return whether the guidelines changed since this person's last judgement here. One statement, or none."""
    if campaign.guideline_version == 1:
        return False
    mine = Feedback.objects.filter(user=user, campaign=campaign).order_by("-id")
    last = mine.values_list("guideline_version", flat=True).first()
    return last is not None and last < campaign.guideline_version


def day_of(user: User, campaign: Campaign) -> Day:
    """Return what this person judged here since midnight. One SQL statement."""
    seconds = Feedback.objects.current().filter(user=user, campaign=campaign, created_at__gte=midnight())
    times = list(seconds.values_list("active_seconds", flat=True))
    measured = [time for time in times if time is not None]
    return Day(len(times), sum(measured), median(measured) if measured else None)


def _available(
    user: User,
    campaign: Campaign,
    *,
    taken: int,
    full: Sequence[str],
    few: tuple[int, int] | None,
    key: str,
    counted: tuple[int, int] | None,
) -> int:
    """Return how many open items of those for this person they never had; `taken`: they had and did not give back.

    `few` is what `_FEW` found, where every item is for everybody; `counted` is kept in the cache under `key`.
    """
    open_tasks: QuerySet[Task] = Task.objects.open().for_person(user.pk).filter(campaign=campaign)
    mine = _of_open(user.pk, campaign.pk)
    if campaign.barred:
        open_tasks = open_to(open_tasks, campaign.barred)
        mine = mine.alias(in_the_way=F("task__tags").bitand(campaign.barred)).filter(in_the_way=0)
    if full:
        open_tasks = open_tasks.exclude(batch__in=full, assignee=None)
        mine = mine.exclude(task__batch__in=full, task__assignee=None)
    if counted is None or _are_few(counted):
        there, had = few or (open_tasks[: EXACT + 1].count(), mine.count())
        if there <= EXACT:
            return there - had
        if counted is None:
            counted = (open_tasks.count() - had, taken)
            cache.set(key, counted, timeout=60)
    available, taken_then = counted
    return available - (taken - taken_then)


def _are_few(counted: tuple[int, int]) -> bool:
    """Return whether the open items may be few enough by now: no team judges thousands while a count is kept."""
    return counted[0] <= 4 * EXACT


def _gold_to_come(campaign: Campaign, *, others: int, had: int) -> int:
    """Return how many items with a known answer come among the `others`, so that the sum jumps by none of them."""
    known = Gold.objects.filter(task__campaign=campaign, purpose__in=MIXED, retired_at=None).count()
    in_all = round(others * campaign.gold_percent / (100 - campaign.gold_percent))
    return max(0, min(known, in_all) - had)


def _of_open(user: Any, campaign: Any) -> QuerySet[Assignment]:
    """Return what this person had of the open items. Two indexes are read for a difference, instead of each item."""
    return Assignment.objects.filter(
        user=user, campaign=campaign, state__in=_TAKEN, task__state=Task.State.OPEN, task__seats__gt=0
    )


class _CountOf(Subquery):
    """How many rows a queryset has, asked within another one; its limit holds."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted)"
    output_field = IntegerField()


_TAKEN = (Assignment.State.OPEN, Assignment.State.SUBMITTED, Assignment.State.SKIPPED)
# With every item an annotator is shown, so its SQL is written once; one row, or none before the first item.
_HAD = Rows(
    lambda user, campaign, midnight: (
        Assignment.objects.filter(user=user, campaign=campaign)
        .order_by()
        .values_list("campaign_id")
        .annotate(
            done=Count("id", filter=Q(state=Assignment.State.SUBMITTED)),
            skipped=Count("id", filter=Q(state=Assignment.State.SKIPPED)),
            holding=Count("id", filter=Q(state=Assignment.State.OPEN)),
            today=Count("id", filter=Q(state=Assignment.State.SUBMITTED, closed_at__gte=midnight)),
            set_aside=Count("id", filter=Q(state=Assignment.State.POSTPONED)),
            gold=Count("id", filter=Q(is_gold=True, state__in=_TAKEN)),
        )
    ),
    user=BigIntegerField(),
    campaign=BigIntegerField(),
    midnight=DateTimeField(),
)
# How many items are open, counted up to one more than `EXACT`, and how many of them this person had.
_FEW = Rows(
    lambda user, campaign, most=EXACT + 1: Campaign.objects.filter(pk=campaign).values_list(
        _CountOf(Task.objects.open().for_person(user).filter(campaign=campaign).order_by().values("pk")[:most]),
        _CountOf(_of_open(user, campaign).values("pk")),
    ),
    user=BigIntegerField(),
    campaign=BigIntegerField(),
)


def _people(campaign: Campaign, known: Sums) -> list[PersonProgress]:
    """Return everybody who judged, skipped or holds an item, those who judged most first."""
    today = timezone.localtime(midnight(), timezone.get_default_timezone()).toordinal()
    skipped = _count_by_person(campaign, Assignment.State.SKIPPED)
    holding = _count_by_person(campaign, Assignment.State.OPEN)
    judged = {user: figures for (user,), figures in known.rows("people")}
    lately = {user: figures[-1] for (user, day), figures in known.rows("days") if day == today}
    found = User.objects.only("username", "pseudonym", "is_simulated").in_bulk({*judged, *skipped, *holding})
    people = []
    for user, person in found.items():
        done, seconds, timed, active, measured, last = judged.get(user, (0, 0.0, 0, 0.0, 0, None))
        people.append(
            PersonProgress(
                username=person.username,
                pseudonym=person.pseudonym,
                is_simulated=person.is_simulated,
                done=done,
                today=lately.get(user, 0),
                skipped=skipped.get(user, 0),
                holding=holding.get(user, 0),
                active_seconds=active / measured if measured else None,
                seconds=seconds / timed if timed else None,
                last_at=None if last is None else datetime.fromtimestamp(last, UTC),
            )
        )
    return sorted(people, key=lambda person: (-person.done, person.username))


def _count_by_person(campaign: Campaign, state: Assignment.State) -> dict[int, int]:
    """Return how many assignments in `state`, of which there are few, each person has."""
    rows = Assignment.objects.filter(campaign=campaign, state=state).order_by().values_list("user_id")
    return dict(rows.annotate(n=Count("id")))
