"""A frozen data set: these rows, these bytes, for ever."""

from __future__ import annotations

from django.db import models

from annotation.models import Campaign, User


class Snapshot(models.Model):
    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, related_name="snapshots")
    view = models.CharField(max_length=40)  # a name in `annotation.dataset_views.VIEWS`
    filters = models.JSONField(default=dict, blank=True)
    # Whether prompts that are nearly the same are on one side: the same rows then have other sides.
    is_grouped = models.BooleanField(default=False)
    rows = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)  # of the JSON Lines file
    path = models.CharField(max_length=400)  # below settings.ATTUNE_FILES
    # The judgements behind it, oldest and newest, for lineage.
    feedback_ids = models.JSONField(default=list)
    # What was so when it was frozen: see `training.services.cards.facts`.
    card = models.JSONField(default=dict, blank=True)
    licence = models.CharField(max_length=60, blank=True)  # an SPDX identifier, such as "cc-by-4.0"
    # Where it was pushed to: [{"to", "at", "commit"}].
    pushed = models.JSONField(default=list, blank=True)
    # When somebody whose judgements are in it had their data erased. The file stays as it is: it is named by its hash.
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            # The same bytes of the same view, with the same sides, give the same row.
            models.UniqueConstraint(
                fields=["campaign", "view", "sha256", "is_grouped"], name="snapshot_same_bytes_same_row"
            ),
        ]

    def __str__(self) -> str:
        return f"snapshot {self.pk} ({self.view}, {self.rows} rows)"
