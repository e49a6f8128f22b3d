"""The audit trail: who did what to which row."""

from __future__ import annotations

from typing import Any

from annotation.models import Campaign, Event, User


def record(
    *,
    campaign: Campaign | None,
    actor: User | None,
    action: str,
    target: str = "",
    detail: dict[str, Any] | None = None,
) -> Event:
    """Return the new event. Call it inside the transaction of the change it tells about.

    `action` is "noun.verbed" ("campaign.opened"); `actor` is None when the system itself acted.
    """
    return Event.objects.create(campaign=campaign, actor=actor, action=action, target=target[:80], detail=detail or {})
