"""What a reviewer decided about an item, and what they sent back. Append-only: a new decision leaves the old one."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from annotation.models.campaigns import Campaign
from annotation.models.feedback import Feedback
from annotation.models.people import User
from annotation.models.work import Task


class Cause(models.TextChoices):
    """Why people differed, as a reviewer sees it."""

    AMBIGUOUS = "ambiguous", _("The text is ambiguous")
    GUIDELINE = "guideline", _("The guideline leaves it open")
    MISTAKE = "mistake", _("Somebody made a mistake")
    EDGE = "edge", _("An edge case")
    SUBJECTIVE = "subjective", _("A matter of taste")
    OTHER = "other", _("Another reason")


class Adjudication(models.Model):
    """The judgement that stands for an item: one that somebody gave, or the reviewer's own."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="adjudications")
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="adjudications")
    # The reviewer's own has `is_review`. One that its author amended since stands in its newest version.
    feedback = models.ForeignKey(Feedback, on_delete=models.CASCADE, related_name="adjudications")
    reviewer = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    cause = models.CharField(max_length=12, choices=Cause.choices)
    note = models.TextField(blank=True)
    is_current = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["task"], condition=Q(is_current=True), name="adjudication_one_per_task"),
        ]

    def __str__(self) -> str:
        return f"decision on {self.task}"


class Returned(models.Model):
    """A judgement that went back to its author with a note; settled when they sent a new version."""

    feedback = models.OneToOneField(Feedback, on_delete=models.CASCADE, related_name="returned")
    reviewer = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    note = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    settled_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.feedback} sent back"
