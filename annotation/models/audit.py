"""Who did what to which row. Rows are only ever added: the model refuses, and so does a trigger of the database."""

from __future__ import annotations

from typing import Any, NoReturn

from django.db import models

from annotation.models.campaigns import Campaign
from annotation.models.people import User

APPEND_ONLY = "Events are only ever added."


class EventQuerySet(models.QuerySet["Event"]):
    def update(self, **_values: Any) -> NoReturn:
        raise TypeError(APPEND_ONLY)

    def delete(self) -> NoReturn:
        raise TypeError(APPEND_ONLY)

    def narrowed(
        self, *, action: str = "", actor: str = "", target: str = "", since: Any = None, until: Any = None
    ) -> EventQuerySet:
        """Return the events whose action begins so, by this username, about what has this in its name, between times.

        `since` and `until` are aware datetimes; `until` itself is left out.
        """
        found = self
        if action:
            found = found.filter(action__startswith=action)
        if actor:
            found = found.filter(actor__username=actor)
        if target:
            found = found.filter(target__icontains=target)
        if since is not None:
            found = found.filter(created_at__gte=since)
        if until is not None:
            found = found.filter(created_at__lt=until)
        return found


class Event(models.Model):
    # A person or a campaign may be deleted; what happened stays.
    campaign = models.ForeignKey(Campaign, null=True, blank=True, on_delete=models.SET_NULL, related_name="events")
    actor = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="events")
    action = models.CharField(max_length=60)  # "campaign.opened", "policy.promoted", …
    target = models.CharField(max_length=80, blank=True)  # "run 12"
    # What changed is {name: {"from": old, "to": new}}; beside it may stand what else one needs to know.
    detail = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = EventQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["campaign", "-id"], name="event_campaign")]

    def __str__(self) -> str:
        return f"{self.action} {self.target}".strip()

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError(APPEND_ONLY)
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(APPEND_ONLY)

    @property
    def changes(self) -> list[tuple[str, Any, Any]]:
        """Return what changed, as name, old value and new value."""
        return [
            (name, value["from"], value["to"])
            for name, value in self.detail.items()
            if isinstance(value, dict) and value.keys() == {"from", "to"}
        ]
