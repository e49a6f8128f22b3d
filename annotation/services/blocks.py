"""Marking the stored sums of a campaign as late, by whoever changes what they count; see `annotation.sums`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection

from django.db.models import BigIntegerField, QuerySet, Subquery

from annotation.models import Block, Campaign, Task
from annotation.prepared import Call, Update

_LATE = Block.State.LATE

# With every judgement, so its SQL is written once. The last block that does not begin behind the item is walked to by
# the index; an item that is in no block yet is behind the end of that one.
_MARK = Update(
    lambda campaign, task: (
        Block.objects.filter(
            pk__in=Subquery(
                Block.objects.filter(campaign=campaign, first__lte=task).order_by("-first").values("pk")[:1]
            ),
            last__gte=task,
            state__in=[Block.State.COUNTED, Block.State.COUNTING],
        ),
        {"state": _LATE},
    ),
    campaign=BigIntegerField(),
    task=BigIntegerField(),
)


def mark(task: Task) -> None:
    """Say that something about this item changed. One SQL statement; hold the item's lock, and call it last."""
    marking(task).run()


def marking(task: Task) -> Call[int]:
    """Return what `mark` runs, to be sent together with what was changed."""
    return _MARK.asked(campaign=task.campaign_id, task=task.pk)


def mark_all(tasks: Collection[int]) -> None:
    """Say that something about these items changed; hold their locks, and call it last."""
    known = sorted(tasks)
    if not known:
        return
    campaigns = Task.objects.filter(pk__in=known).order_by().values("campaign").distinct()
    spans = Block.objects.filter(campaign__in=campaigns, last__gte=known[0], first__lte=known[-1])
    touched = [pk for pk, first, last in spans.values_list("pk", "first", "last") if _any_within(known, first, last)]
    _set_late(Block.objects.filter(pk__in=touched))


def mark_campaign(campaign: Campaign) -> None:
    """Say that its judgements read otherwise from now on, as after its options were changed."""
    _set_late(Block.objects.filter(campaign=campaign))


def _set_late(blocks: QuerySet[Block]) -> None:
    # Locked in one order, as others may mark several of them too.
    ready = blocks.exclude(state=_LATE).order_by("pk").select_for_update()
    Block.objects.filter(pk__in=list(ready.values_list("pk", flat=True))).update(state=_LATE)


def _any_within(known: list[int], first: int, last: int) -> bool:
    place = bisect_left(known, first)
    return place < len(known) and known[place] <= last
