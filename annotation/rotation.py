"""Which items with a known answer a person is given, and when: mixed into what they get anyway, without a sign.

After each of them so many other items come until the next, a number drawn anew for each person: anything from none to
twice the mean. So the share is the campaign's in the long run, and nobody can tell by counting when one is due. Drawn
from a seed and not stored, so that looking again gives the same.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from django.db.models import BigIntegerField, Case, CharField, Exists, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce, Mod

from annotation.models import Assignment, Campaign, Feedback, Gold, Task, User
from annotation.models.work import made_for
from annotation.prepared import Rows

# What is mixed in; practice and test are asked before the first item, and never in between.
MIXED = (Gold.Purpose.MIXED, Gold.Purpose.CHECK)
BEFORE = (Gold.Purpose.PRACTICE, Gold.Purpose.TEST)
# A prime that no id reaches: the remainders of n · id are an order of all items, and each n gives another one.
PRIME = 2_147_483_647

_WHO_AND_WHERE: Any = {"user": BigIntegerField(), "campaign": BigIntegerField()}
_LAST = Rows(
    lambda user, campaign: (
        Assignment.objects.filter(user=user, campaign=campaign, is_gold=True)
        .order_by("-created_at")
        .values_list("pk", "created_at")[:1]
    ),
    **_WHO_AND_WHERE,
)


def is_parked(campaign: Campaign, purpose: str) -> bool:
    """Return whether the queue passes by an item with a known answer of this purpose."""
    return purpose in BEFORE or campaign.gold_percent > 0


def is_due(user: User, campaign: Campaign, *, held: Sequence[Assignment]) -> bool:
    """Return whether the next item of this person is one with a known answer. Two SQL statements, none without gold.

    What they skipped counts neither as an item in between nor as the one that was due, so skipping brings none sooner.
    """
    if not campaign.gold_percent:
        return False
    found = _LAST(user=user.pk, campaign=campaign.pk)
    last, at = found[0] if found else (0, None)
    gap = gap_after(last, user=user.pk, campaign=campaign)
    between = sum(at is None or one.created_at > at for one in held if not one.is_gold)
    return between >= gap or between + _judged_since(user, campaign, at, most=gap - between) >= gap


def gap_after(last: int, *, user: int, campaign: Campaign) -> int:
    """Return how many other items stand between two with a known answer; `last` is the assignment of the first one.

    The mean of gap + 1 is 100 / `gold_percent`: first a whole number next to it is drawn, then evenly up to twice it.
    """
    dice = random.Random(f"gold/{campaign.pk}/{user}/{last}")
    mean = 100 / campaign.gold_percent
    whole = math.floor(mean) + (dice.random() < mean - math.floor(mean))
    return dice.randrange(2 * whole - 1)


def order_of(user: User, campaign: Campaign) -> int:
    """Return what gives each person an order of their own (`first_gold`)."""
    return random.Random(f"gold/{campaign.pk}/{user.pk}").randrange(1, PRIME)


def first_gold(
    user: Any, campaign: Any, barred: Any, order: Any, *, states: Sequence[str], before: Callable[..., dict[str, Any]]
) -> QuerySet[Task]:
    """Return the queryset behind a claim of gold: in the person's own order, none twice, none that is not for them.

    A seat is no condition: `services.queue` makes one. `states` and `before` as in `services.queue`. Items that
    somebody else is being given right now are passed by.
    """
    mine = Assignment.objects.alias(who=F("user_id") + 0).filter(task=OuterRef("pk"), who=user)
    asked = Coalesce(Subquery(mine.values("state")), Value(Assignment.State.RELEASED), output_field=CharField())
    came_to = Case(When(Q(made_for(user), in_the_way=0), then=asked), default=Value("barred"), output_field=CharField())
    is_open = Exists(Campaign.objects.filter(pk=campaign, state=Campaign.State.OPEN))
    of_gold = Q(gold__purpose__in=MIXED, gold__retired_at__isnull=True)
    # Who gave the answer knows it.
    not_theirs = Q(gold__created_by__isnull=True) | ~Q(gold__created_by=user)
    return (
        Task.objects.filter(of_gold, not_theirs, is_open, campaign=campaign)
        .exclude(state=Task.State.WITHDRAWN)
        .alias(in_the_way=F("tags").bitand(barred))
        .alias(came_to=came_to)
        .filter(came_to__in=states)
        .annotate(
            returned_id=Subquery(mine.values("pk")),
            returned_key=Subquery(mine.values("key")),
            returned_order=Subquery(mine.values("shown_order")),
            returned_draft=Subquery(mine.values("draft")),
            **before(user, campaign),
        )
        .order_by(Mod(F("pk") * order, Value(PRIME), output_field=BigIntegerField()), "pk")
        .select_for_update(skip_locked=True, no_key=True, of=("self",))[:1]
    )


def _judged_since(user: User, campaign: Campaign, at: datetime | None, *, most: int) -> int:
    """Return how many items handed out since then this person judged, counted up to `most`."""
    times = _times_of_last(most)(user=user.pk, campaign=campaign.pk)
    return sum(at is None or time > at for (time,) in times)


@cache
def _times_of_last(most: int) -> Rows:
    """Return the statement that asks when a person was given what they judged last, so many of them."""
    return Rows(
        lambda user, campaign: (
            Feedback.objects.filter(user=user, campaign=campaign, version=1, is_review=False)
            .order_by("-id")
            .values_list("assignment__created_at")[:most]
        ),
        **_WHO_AND_WHERE,
    )
