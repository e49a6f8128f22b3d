"""What an API token may be used for. The token itself, of which only a hash is stored, is knox's."""

from __future__ import annotations

from django.db import models
from knox.models import AuthToken


class TokenGrant(models.Model):
    token = models.OneToOneField(AuthToken, on_delete=models.CASCADE, related_name="grant")
    name = models.CharField(max_length=80, blank=True)  # what its owner calls it
    scopes = models.JSONField(default=list)  # of `annotation.access.SCOPES`
    last_used_at = models.DateTimeField(null=True, blank=True)  # to the hour: a write at each request would cost

    def __str__(self) -> str:
        return self.name or f"token {self.pk}"
