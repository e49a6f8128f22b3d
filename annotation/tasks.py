"""Background work of annotation. Safe to run twice, and at once."""

from __future__ import annotations

from celery import shared_task

from annotation.services import queue


@shared_task(ignore_result=True)
def expire_leases() -> None:
    """Bring seats of people who left back into the queue."""
    queue.expire_leases()
