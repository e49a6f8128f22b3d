"""Background work of annotation. Safe to run twice, and at once."""

from __future__ import annotations

from celery import shared_task

from annotation.importing import kept_files, leftovers, partial, refusals, uploads
from annotation.services import block_counts, passwords, proposals, quality, queue, webhooks


@shared_task(ignore_result=True)
def expire_leases() -> None:
    """Bring seats of people who left back into the queue."""
    queue.expire_leases()


@shared_task(ignore_result=True)
def count_blocks() -> None:
    """Count the sums of campaigns anew where judgements came in."""
    block_counts.count_all()


@shared_task(ignore_result=True)
def refresh_quality() -> None:
    """Make the figures of agreement and reliability anew where judgements came in."""
    quality.refresh_all()


@shared_task(ignore_result=True)
def expire_files() -> None:
    """Delete uploads that nobody imported, and old files of refused rows."""
    kept_files.expire(uploads.FOLDER, uploads.KEPT)
    kept_files.expire(partial.FOLDER, uploads.KEPT)
    kept_files.expire(refusals.FOLDER, refusals.KEPT)


@shared_task(ignore_result=True)
def delete_leftovers() -> None:
    """Delete files of images that no row points to any more, after a week."""
    leftovers.delete_leftovers()
    webhooks.forget_old()


@shared_task(ignore_result=True)
def propose_principles(proposal_id: int) -> None:
    """Find the principles that a critique speaks of."""
    proposals.fill(proposal_id=proposal_id)


@shared_task(ignore_result=True)
def send_password_links(email: str, host: str, secure: bool, language: str) -> None:
    """Send a link to whoever has this address, if anybody."""
    passwords.send_links(email=email, host=host, secure=secure, language=language)


@shared_task(ignore_result=True)
def deliver(delivery_id: int) -> None:
    """Send one message to its webhook, and others that are due (queue `default`)."""
    webhooks.deliver(delivery_id)


@shared_task(ignore_result=True)
def deliver_due() -> None:
    """Send what is due again (beat)."""
    webhooks.deliver_due()
