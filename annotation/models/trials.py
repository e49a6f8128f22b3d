"""What people do before their first item: practice, and tries at a test. No judgements: nothing trains on them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from annotation.models.campaigns import Campaign
from annotation.models.people import User
from annotation.models.work import Task


class Trial(models.Model):
    """Practice (try 0), or a try at the test: which items, in which order, and what came of it."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="trials")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="trials")
    number = models.PositiveSmallIntegerField()  # 0: practice
    tasks = models.JSONField()  # ids of its items
    # Of all things compared in a test, the share that was right; null while it goes on, and of practice.
    right = models.FloatField(null=True, blank=True)
    passed = models.BooleanField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["campaign", "user", "number"], name="trial_once_per_number"),
            models.CheckConstraint(condition=Q(right__isnull=True) | Q(right__gte=0, right__lte=1), name="trial_right"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.campaign}, try {self.number}"


class TrialAnswer(models.Model):
    """What a person said of one item of a trial, and what of it was right."""

    trial = models.ForeignKey(Trial, on_delete=models.CASCADE, related_name="answers")
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="+")
    payload = models.JSONField()
    shown_order = models.JSONField()
    things = models.PositiveSmallIntegerField()  # that were compared
    hits = models.PositiveSmallIntegerField()  # that were right, within their tolerance
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["trial", "task"], name="trial_answer_once"),
        ]

    def __str__(self) -> str:
        return f"{self.trial}: {self.task}"
