"""How much of what people had to read: each for themselves, and a campaign's lead by category, without names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Count, Q
from django.utils import timezone

from annotation import routing, sums
from annotation.limits import monday
from annotation.models import Assignment, Campaign, User
from annotation.sums import Sums


@dataclass(frozen=True)
class Exposure:
    """Judgements of items about one category. An item may be about several."""

    category: str
    week: int  # since Monday
    total: int


def exposure(campaign: Campaign, user: User | None = None, *, known: Sums | None = None) -> list[Exposure]:
    """Return what was judged by category, of this person or of everybody, the most frequent first.

    No statement when the campaign's items have no categories; of one person, one.
    """
    categories = routing.names(campaign.tags, -1, routing.ABOUT)
    if not categories:
        return []
    week, total = dict.fromkeys(categories, 0), dict.fromkeys(categories, 0)
    rows = _of_all(known or sums.of(campaign)) if user is None else _of_one(campaign, user)
    for tags, all_told, lately in rows:
        for category in routing.names(campaign.tags, tags, routing.ABOUT):
            total[category] += all_told
            week[category] += lately
    found = [Exposure(category, week[category], total[category]) for category in categories]
    return sorted(found, key=lambda one: (-one.total, one.category))


def _of_one(campaign: Campaign, user: User) -> Iterable[tuple[int, int, int]]:
    judged = Assignment.objects.filter(
        campaign=campaign, state=Assignment.State.SUBMITTED, task__tags__gt=0, user=user
    ).order_by()
    since = Count("id", filter=Q(closed_at__gte=monday()))
    return judged.values_list("task__tags").annotate(n=Count("id"), w=since)


def _of_all(known: Sums) -> Iterable[tuple[int, int, int]]:
    since = timezone.localtime(monday(), timezone.get_default_timezone()).toordinal()
    for (tags, day), (items,) in known.rows("read"):
        yield tags, items, items if day >= since else 0
