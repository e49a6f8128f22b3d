"""How much one person may judge in a campaign: in a day, and in a batch such as one round's.

Each of these costs a statement where its setting is used, and none where it is not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime

from django.core.cache import cache
from django.db.models import Count, Sum
from django.utils import timezone

from annotation.models import Assignment, Campaign, Task, User

# Between the names of batches in one text. No name has it.
BETWEEN = "\x1f"
KEPT_SECONDS = 60

_HAD = (Assignment.State.OPEN, Assignment.State.SUBMITTED)


def midnight() -> datetime:
    """Return when today began, in the server's time zone."""
    return timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)


def day_is_full(user: User, campaign: Campaign, *, held: int) -> bool:
    """Return whether this person has had, with what they hold, as many items today as the campaign allows.

    One SQL statement, and none where there is no limit. Two tabs at the same moment may exceed it by one.
    """
    if not campaign.daily_limit:
        return False
    submitted = Assignment.objects.filter(user=user, campaign=campaign, state=Assignment.State.SUBMITTED)
    today = submitted.filter(closed_at__gte=midnight())
    return held + today[: campaign.daily_limit].count() >= campaign.daily_limit


def full_batches(user: User, campaign: Campaign) -> list[str]:
    """Return the batches of which this person has had as much as the campaign allows one person.

    What they hold counts, what they skipped does not. Items without a batch have no quota.
    """
    if not (campaign.batch_limit or campaign.batch_share):
        return []
    had = Assignment.objects.filter(user=user, campaign=campaign, state__in=_HAD).exclude(task__batch="").order_by()
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
        tasks = Task.objects.filter(campaign=campaign, batch__in=new).exclude(state=Task.State.WITHDRAWN).order_by()
        known |= dict(tasks.values_list("batch").annotate(total=Sum("wanted")))
        cache.set(key, known, timeout=KEPT_SECONDS)
    return known
