"""That somebody looked at what others said: noted in the audit trail, once an hour for one person and one thing."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from annotation.models import Campaign, Event, User
from annotation.services import events

ONCE_IN = timedelta(hours=1)


def note(*, campaign: Campaign, actor: User, what: str, target: str = "") -> None:
    """Note that `actor` was shown judgements of others: `what` is "seen", "listed" or "exported"."""
    action = f"judgements.{what}"
    since = timezone.now() - ONCE_IN
    noted = Event.objects.filter(campaign=campaign, actor=actor, action=action, target=target[:80])
    if not noted.filter(created_at__gte=since).exists():
        events.record(campaign=campaign, actor=actor, action=action, target=target)
