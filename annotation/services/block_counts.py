"""Counting the sums of a campaign anew where something changed, in the background.

A block is counted without holding up anybody who judges. Three short steps, each committed: it is said to be COUNTING;
every item of it is locked and let go again; it is counted, and stored if it is COUNTING still. Who writes takes the
item's lock first and marks the block under it. So whoever held a lock before the second step has committed before the
rows are read; and whoever takes one after it finds the block COUNTING and marks it late, which the third step sees.
No judgement is ever missed, whichever comes first.
"""

from __future__ import annotations

from django.db import transaction

from annotation import sums
from annotation.models import Block, Campaign, Task, WideBlock
from annotation.services.queue import QUEUE_ORDER

_COUNTING, _COUNTED = Block.State.COUNTING, Block.State.COUNTED


def count_late(*, campaign: Campaign, most: int = 100_000) -> int:
    """Make blocks of the items that came in, count what is late, and return how many blocks were counted."""
    _close(campaign)
    late = Block.objects.filter(campaign=campaign).exclude(state=_COUNTED).order_by("first")
    counted = sum(_count(campaign, block) for block in late.defer("sums")[:most])
    _put_together(campaign)
    return counted


def count_all() -> int:
    """Do so for every campaign."""
    return sum(count_late(campaign=campaign) for campaign in Campaign.objects.order_by("pk"))


def _close(campaign: Campaign) -> None:
    """Make blocks of all items there are, full ones only.

    An import holds the campaign's lock while it makes items, so none is being made; and those made later have higher
    ids than all there are.
    """
    with transaction.atomic():
        Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
        blocks = Block.objects.filter(campaign=campaign).order_by("-first")
        after = blocks.values_list("last", flat=True).first() or 0
        tasks = Task.objects.filter(campaign=campaign).order_by("pk")
        made = []
        while True:
            ids = list(tasks.filter(pk__gt=after).values_list("pk", flat=True)[: sums.SIZE])
            if len(ids) < sums.SIZE:
                break
            after = ids[-1]
            made.append(Block(campaign=campaign, first=ids[0], last=after))
        Block.objects.bulk_create(made)


def _put_together(campaign: Campaign) -> None:
    """Make wide blocks of those whose parts have all been counted, where they are not made of just these already.

    Two at once store the same, or what each names: names and sums are read in one statement.
    """
    blocks = Block.objects.filter(campaign=campaign).order_by("first")
    listed = list(blocks.values_list("pk", "version"))
    late = set(blocks.exclude(state=_COUNTED).values_list("pk", flat=True))
    known = dict(WideBlock.objects.filter(campaign=campaign).values_list("place", "names"))
    for place, names in enumerate(sums.groups_of(listed)):
        if len(names) < sums.GROUP or known.get(place) == [list(name) for name in names]:
            continue
        if late.intersection(pk for pk, _version in names):
            continue
        together, made_of = sums.Sums(), []
        for pk, version, of_one in blocks.filter(pk__in=[pk for pk, _ in names]).values_list("pk", "version", "sums"):
            together.merge_stored(of_one)
            made_of.append([pk, version])
        WideBlock.objects.update_or_create(
            campaign=campaign, place=place, defaults={"names": made_of, "sums": together.as_json()}
        )


def _count(campaign: Campaign, block: Block) -> bool:
    """Count one block anew; False when somebody wrote into it meanwhile, and it waits for the next time."""
    Block.objects.filter(pk=block.pk).update(state=_COUNTING)
    with transaction.atomic():
        tasks = Task.objects.filter(campaign=campaign, pk__gte=block.first, pk__lte=block.last)
        list(tasks.order_by(*QUEUE_ORDER).select_for_update(no_key=True).values_list("pk", flat=True))
    found = sums.count(campaign, block.first, block.last)
    counting = Block.objects.filter(pk=block.pk, state=_COUNTING)
    return bool(counting.update(state=_COUNTED, version=block.version + 1, sums=found.as_json()))
