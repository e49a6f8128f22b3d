"""The audit trail: who did what to which row, with what was there before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annotation.models import Campaign, Event, User
from annotation.signals import event_recorded


def record(
    *,
    campaign: Campaign | None,
    actor: User | None,
    action: str,
    target: str = "",
    detail: Mapping[str, Any] | None = None,
    changes: Mapping[str, tuple[Any, Any]] | None = None,
) -> Event:
    """Return the new event. Call it inside the transaction of the change it tells about.

    `action` is "noun.verbed" ("campaign.opened"); `actor` is None when the system itself acted. `changes` are old and
    new value by name, both as JSON has them.
    """
    told = {**(detail or {}), **{name: {"from": old, "to": new} for name, (old, new) in (changes or {}).items()}}
    made = Event.objects.create(campaign=campaign, actor=actor, action=action, target=target[:80], detail=told)
    if campaign is not None:
        event_recorded.send(sender=Event, event=made, campaign=campaign)
    return made


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return old and new value of each name that has another value now."""
    names = [*before, *(name for name in after if name not in before)]
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}
