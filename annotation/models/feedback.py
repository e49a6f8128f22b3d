"""What people said. Append-only: a correction is a new row that supersedes the old one."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from annotation.models.campaigns import Campaign
from annotation.models.people import User
from annotation.models.work import Assignment, Task


class FeedbackQuerySet(models.QuerySet["Feedback"]):
    def current(self) -> FeedbackQuerySet:
        """Return the judgements that stand: the last version of each."""
        return self.filter(is_current=True)


class Feedback(models.Model):
    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="feedback")
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="feedback")
    assignment = models.ForeignKey(Assignment, on_delete=models.CASCADE, related_name="feedback")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="feedback")
    kind = models.CharField(max_length=40)
    # Refers to completions by canonical position; read only by the kind's own module.
    payload = models.JSONField()
    # The order the completions were shown in, copied from the assignment, for position bias.
    shown_order = models.JSONField()
    version = models.PositiveSmallIntegerField(default=1)
    supersedes = models.OneToOneField(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="superseded_by"
    )
    # Derived from `supersedes` and kept in the same transaction, so that exports need no anti-join.
    is_current = models.BooleanField(default=True)
    # Sent by the browser with each submit; the same key again gives the same answer and no second row.
    client_key = models.CharField(max_length=64)
    guideline_version = models.PositiveIntegerField()
    # Wall-clock seconds from hand-out to submit, and those in which the page was visible and used.
    seconds = models.FloatField(null=True, blank=True)
    active_seconds = models.FloatField(null=True, blank=True)
    # How the page was used on the way to it: the measures of `annotation.behaviour`, and nothing else.
    behaviour = models.JSONField(null=True, blank=True)
    # A reviewer's own answer, given after they saw all others: it is no vote, and agreement leaves it out.
    is_review = models.BooleanField(default=False)
    # Whoever judged asks a reviewer to look at the item: it counts as every judgement does.
    flagged = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = FeedbackQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "client_key"], name="feedback_client_key_once"),
            models.UniqueConstraint(fields=["assignment", "version"], name="feedback_version_once"),
            models.UniqueConstraint(
                fields=["assignment"], condition=Q(is_current=True), name="feedback_one_current_per_assignment"
            ),
        ]
        indexes = [
            models.Index(fields=["campaign", "id"], condition=Q(is_current=True), name="feedback_export"),
            models.Index(fields=["user", "campaign", "-id"], name="feedback_history"),
            # Few of many, and reviewers list them.
            models.Index(
                fields=["campaign", "-id"], condition=Q(is_current=True, flagged=True), name="feedback_flagged"
            ),
        ]

    def __str__(self) -> str:
        return f"feedback {self.pk}"
