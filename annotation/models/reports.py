"""Figures that cost more than a page may, kept until judgements come in."""

from __future__ import annotations

from django.db import models

from annotation.models.campaigns import Campaign


class QualityReport(models.Model):
    """What `annotation.reliability` made of a campaign's judgements. Derived: it can be thrown away and made again."""

    campaign = models.OneToOneField(Campaign, on_delete=models.CASCADE, related_name="quality_report")
    figures = models.JSONField()
    # What it was made of: how many standing judgements there were, and the newest one's id.
    judgements = models.PositiveIntegerField()
    last_feedback = models.BigIntegerField()
    made_at = models.DateTimeField()  # when its making began
    seconds = models.FloatField(default=0.0)  # that it took
    begun_at = models.DateTimeField(null=True, blank=True)  # while the background makes it anew

    def __str__(self) -> str:
        return f"quality of {self.campaign}"
