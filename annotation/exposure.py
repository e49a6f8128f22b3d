"""How much of what people had to read: each for themselves, and a campaign's lead by category, without names."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Q

from annotation import routing
from annotation.limits import monday
from annotation.models import Assignment, Campaign, User


@dataclass(frozen=True)
class Exposure:
    """Judgements of items about one category. An item may be about several."""

    category: str
    week: int  # since Monday
    total: int


def exposure(campaign: Campaign, user: User | None = None) -> list[Exposure]:
    """Return what was judged by category, of this person or of everybody, the most frequent first. One SQL statement.

    No statement when the campaign's items have no categories.
    """
    categories = routing.names(campaign.tags, -1, routing.ABOUT)
    if not categories:
        return []
    judged = Assignment.objects.filter(campaign=campaign, state=Assignment.State.SUBMITTED, task__tags__gt=0)
    if user is not None:
        judged = judged.filter(user=user)
    week, total = dict.fromkeys(categories, 0), dict.fromkeys(categories, 0)
    rows = judged.order_by().values_list("task__tags")
    for tags, all_told, lately in rows.annotate(n=Count("id"), w=Count("id", filter=Q(closed_at__gte=monday()))):
        for category in routing.names(campaign.tags, tags, routing.ABOUT):
            total[category] += all_told
            week[category] += lately
    found = [Exposure(category, week[category], total[category]) for category in categories]
    return sorted(found, key=lambda one: (-one.total, one.category))
