"""The right answer to an item, in a table of its own: nothing that shows, exports or hands out items reads it."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from annotation.models.people import User
from annotation.models.work import Task


class Gold(models.Model):
    class Purpose(models.TextChoices):
        MIXED = "mixed", pgettext_lazy("gold", "Gold")  # comes among other items, and nobody is told
        CHECK = "check", _("Attention check")  # the same, with an answer that nobody who reads it can miss
        PRACTICE = "practice", _("Practice")  # before the first item, told right from wrong after each
        TEST = "test", _("Test")  # after practice, told the result only

    task = models.OneToOneField(Task, on_delete=models.CASCADE, related_name="gold")
    # The right judgement, in the form of `Feedback.payload`.
    payload = models.JSONField()
    # How far off each thing may be, by name; null is not compared, what is missing is as usual; see `annotation.gold`.
    tolerance = models.JSONField(default=dict, blank=True)
    purpose = models.CharField(max_length=8, choices=Purpose.choices, default=Purpose.MIXED)
    # From then on it is handed out as gold no more; what it tells of earlier judgements stays.
    retired_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"gold of {self.task}"
