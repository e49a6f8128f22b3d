"""When a worker was last there, by the queue it serves. Workers write it, pages of leads read it."""

from __future__ import annotations

from django.db import models


class Presence(models.Model):
    queue = models.CharField(max_length=60, primary_key=True)
    node = models.CharField(max_length=200)
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.queue}: {self.node} at {self.seen_at}"
