"""The right answer to an item, in a table of its own: nothing that shows, exports or hands out items reads it."""

from __future__ import annotations

from django.db import models

from annotation.models.people import User
from annotation.models.work import Task


class Gold(models.Model):
    task = models.OneToOneField(Task, on_delete=models.CASCADE, related_name="gold")
    # The right judgement, in the form of `Feedback.payload`.
    payload = models.JSONField()
    # How far off each thing may be, by name; null is not compared, what is missing is as usual; see `annotation.gold`.
    tolerance = models.JSONField(default=dict, blank=True)
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"gold of {self.task}"
