"""What was proposed to somebody out of their own critique. No judgement: that holds only what they confirmed."""

from __future__ import annotations

from django.db import models

from annotation.models.work import Assignment


class Proposal(models.Model):
    """Principles proposed for one wording of a critique."""

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"  # waits for a worker
        RUNNING = "running", "Running"  # a worker has it
        DONE = "done", "Done"  # `result` holds what is proposed, which may be nothing
        FAILED = "failed", "Failed"  # `reason` says why; asked for again, it is queued again

    assignment = models.ForeignKey(Assignment, on_delete=models.CASCADE, related_name="proposals")
    critique = models.TextField()
    critique_hash = models.CharField(max_length=64)  # sha256
    state = models.CharField(max_length=8, choices=State.choices, default=State.QUEUED)
    extractor = models.CharField(max_length=120, blank=True)  # which one answered, and in which version
    # What `annotation.extraction.checks` lets through: {"proposals": […], "dropped": {reason: number}}.
    result = models.JSONField(null=True, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    asked_at = models.DateTimeField()  # for the last time

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["assignment", "critique_hash"], name="proposal_once_per_wording"),
        ]

    def __str__(self) -> str:
        return f"proposal {self.pk}"
