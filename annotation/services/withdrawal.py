"""Taking tasks out of the queue without losing a judgement."""

from __future__ import annotations

from collections.abc import Collection

from annotation.models import Campaign, Task
from annotation.services import queue


def withdraw(*, campaign: Campaign, batches: Collection[str]) -> int:
    """Withdraw what is open of these batches, and return how many tasks that were.

    Nobody is given them any more, and what people hold goes back, so that their next item is a wanted one. Judgements
    that are there are kept, and what was on a screen may still be submitted.
    """
    tasks = Task.objects.filter(campaign=campaign, batch__in=batches, state=Task.State.OPEN)
    return queue.withdraw(tasks=list(tasks.values_list("pk", flat=True)))
