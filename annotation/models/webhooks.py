"""Whom a campaign tells what happens in it, and each message with what became of it."""

from __future__ import annotations

import secrets

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from annotation.models.campaigns import Campaign
from annotation.models.people import User


def new_salt() -> str:
    return secrets.token_hex(16)


def new_message_id() -> str:
    return f"msg_{secrets.token_hex(12)}"


class Webhook(models.Model):
    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="webhooks")
    url = models.CharField(max_length=500)
    events = models.JSONField(default=list)  # names of `annotation.webhooks.EVENTS`
    # The secret is made of this and the server's own: a copy of the database alone signs nothing.
    salt = models.CharField(max_length=32, default=new_salt, editable=False)
    is_active = models.BooleanField(default=True)  # off after a receiver said that it is gone (410)
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"webhook {self.pk}"


class Delivery(models.Model):
    """One message to one receiver. The row is the job: a Celery message only wakes somebody up to look at it."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")  # for its first try, or its next one
        DELIVERED = "delivered", _("Delivered")  # final: the receiver answered with 2xx
        FAILED = "failed", _("Failed")  # final, until somebody sends it again

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    message_id = models.CharField(max_length=40, default=new_message_id)
    event = models.CharField(max_length=40)
    body = models.TextField()  # the bytes that are signed
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    status_code = models.PositiveSmallIntegerField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["next_at"], condition=models.Q(state="waiting"), name="delivery_due"),
            models.Index(fields=["webhook", "-id"], name="delivery_log"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.message_id}"
