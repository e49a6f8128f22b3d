"""Taking tasks out of the queue without losing a judgement."""

from __future__ import annotations

from collections.abc import Collection

from annotation.models import Campaign, Task


def withdraw(*, campaign: Campaign, batches: Collection[str]) -> int:
    """Withdraw what is open of these batches, and return how many tasks that were.

    Nobody is given them any more. Judgements that are there are kept, and whoever holds one now may still submit.
    """
    return Task.objects.filter(campaign=campaign, batch__in=batches, state=Task.State.OPEN).update(
        state=Task.State.WITHDRAWN
    )
