"""How much one person may judge in a campaign: in a day, in a week, in a batch such as one round's, and at a stretch.

Each of these costs a statement where its setting is used, and none where it is not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.core.cache import cache
from django.db.models import Count, Sum
from django.utils import timezone

from annotation import routing
from annotation.models import Assignment, Campaign, Feedback, Task, User

# Between the names of batches in one text. No name has it.
BETWEEN = "\x1f"
KEPT_SECONDS = 60
# So long a pause ends a row of heavy items, and so long is the rest after one.
REST = timedelta(minutes=10)

_HAD = (Assignment.State.OPEN, Assignment.State.SUBMITTED)


def midnight() -> datetime:
    """Return when today began, in the server's time zone."""
    return timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)


def monday() -> datetime:
    """Return when this week began, in the server's time zone."""
    today = midnight()
    return today - timedelta(days=today.weekday())


def is_enough(user: User, campaign: Campaign, *, held: int) -> bool:
    """Return whether this person has had, with what they hold, as many items as the campaign allows in a day or a week.

    One SQL statement for each limit there is. Two tabs at the same moment may exceed it by one.
    """
    limits = ((campaign.daily_limit, midnight), (campaign.weekly_limit, monday))
    return any(limit and held + judged_since(user, campaign, begin(), most=limit) >= limit for limit, begin in limits)


def judged_since(user: User, campaign: Campaign, begin: datetime, *, most: int) -> int:
    """Return how many items this person judged here since then, counted up to `most`."""
    submitted = Assignment.objects.filter(user=user, campaign=campaign, state=Assignment.State.SUBMITTED)
    return submitted.filter(closed_at__gte=begin)[:most].count()


def heavy(campaign: Campaign) -> int:
    """Return the number of all that is unpleasant about items of the campaign, as `annotation.routing` counts it."""
    return routing.bits(campaign.tags, about=routing.names(campaign.tags, -1, routing.ABOUT))


def rest_until(user: User, campaign: Campaign, *, held: Sequence[Assignment] = ()) -> datetime | None:
    """Return until when this person is given no heavy item; None when they may have one now. At most one SQL statement.

    That is after `rest_after` of them in a row, those they hold included, with no break of `REST` and no easier item
    in between.
    """
    unpleasant = heavy(campaign) if campaign.rest_after else 0
    if not unpleasant:
        return None
    row = 0
    later = now = timezone.now()
    for one in held:
        if not one.task.tags & unpleasant:
            return None
        row += 1
    judged = Feedback.objects.filter(user=user, campaign=campaign, version=1).order_by("-id")
    last = now if held else None
    for tags, at in judged.values_list("task__tags", "created_at")[: campaign.rest_after]:
        if not tags & unpleasant or later - at >= REST:
            break
        row, later, last = row + 1, at, last or at
    return (last or now) + REST if row >= campaign.rest_after else None


def full_batches(user: User, campaign: Campaign) -> list[str]:
    """Return the batches of which this person has had as much as the campaign allows one person.

    What they hold counts, what they skipped does not. Items without a batch have no quota, nor those made for somebody.
    """
    if not (campaign.batch_limit or campaign.batch_share):
        return []
    had = Assignment.objects.filter(user=user, campaign=campaign, state__in=_HAD, task__assignee=None).order_by()
    had = had.exclude(task__batch="")
    counts = dict(had.values_list("task__batch").annotate(items=Count("id")))
    if not counts:
        return []
    totals = _wanted(campaign, counts) if campaign.batch_share else {}
    return [batch for batch, count in counts.items() if count >= quota(campaign, totals.get(batch, 0))]


def quota(campaign: Campaign, wanted: int) -> int:
    """Return how many judgements of a batch that wants so many one person may give: the lesser of count and share."""
    by_count = campaign.batch_limit or math.inf
    # At least one, or nobody could begin.
    by_share = max(1, math.ceil(wanted * campaign.batch_share / 100)) if campaign.batch_share else math.inf
    return int(min(by_count, by_share))


def in_one_text(batches: Iterable[str]) -> str:
    """Return the names with `BETWEEN` around each; empty for none."""
    names = list(batches)
    return BETWEEN + BETWEEN.join(names) + BETWEEN if names else ""


def _wanted(campaign: Campaign, batches: Iterable[str]) -> dict[str, int]:
    """Return how many judgements each batch wants; counted at most once a minute, as it changes by imports only."""
    key = f"batches-{campaign.pk}"
    known: dict[str, int] = cache.get(key) or {}
    new = set(batches) - set(known)
    if new:
        tasks = Task.objects.filter(campaign=campaign, batch__in=new, assignee=None).order_by()
        tasks = tasks.exclude(state=Task.State.WITHDRAWN)
        known |= dict(tasks.values_list("batch").annotate(total=Sum("wanted")))
        cache.set(key, known, timeout=KEPT_SECONDS)
    return known
