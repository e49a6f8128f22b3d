"""A domain safety suite that a campaign has: questions put to its policies, and to people blind."""

from __future__ import annotations

from django.db import models

from annotation.models import Campaign, User


class Suite(models.Model):
    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="suites")
    name = models.CharField(max_length=120)
    path = models.CharField(max_length=400)  # below settings.ATTUNE_FILES, named by its content
    view = models.CharField(max_length=20, default="suite")  # what it holds, as recipes call it
    # How many questions it has, how many of them show an image, and in how many categories.
    questions = models.PositiveIntegerField()
    with_image = models.PositiveIntegerField(default=0)
    points = models.PositiveIntegerField(default=0)  # of open scenarios: what answers have to name
    categories = models.JSONField(default=dict)  # how many questions count in each
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["campaign", "path"], name="suite_once_in_a_campaign"),
        ]

    def __str__(self) -> str:
        return self.name
