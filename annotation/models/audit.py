"""Who did what to which row. Rows are only ever added."""

from __future__ import annotations

from django.db import models

from annotation.models.campaigns import Campaign
from annotation.models.people import User


class Event(models.Model):
    campaign = models.ForeignKey(Campaign, null=True, blank=True, on_delete=models.SET_NULL, related_name="events")
    actor = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="events")
    action = models.CharField(max_length=60)  # "campaign.opened", "policy.promoted", …
    target = models.CharField(max_length=80, blank=True)  # "run 12"
    detail = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["campaign", "-id"], name="event_campaign")]

    def __str__(self) -> str:
        return f"{self.action} {self.target}".strip()
