"""A trained model, where it came from and what it is allowed to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from annotation.models import Campaign

if TYPE_CHECKING:
    from training.models.runs import Run


class ModelVersion(models.Model):
    class Kind(models.TextChoices):
        POLICY = "policy", _("Policy")
        REWARD = "reward", _("Reward model")
        COST = "cost", _("Cost model")
        GUARD = "guard", _("Guard")  # a guard's folder, with a detector of jailbreaks that keeps up

    class State(models.TextChoices):
        CANDIDATE = "candidate", _("Candidate")  # trained, not decided on
        PROMOTED = "promoted", _("Promoted")  # the one in use for its campaign
        RETIRED = "retired", _("Retired")  # was promoted once; may be rolled back to
        REJECTED = "rejected", _("Rejected")  # the gate said no

    SCORING = (Kind.REWARD, Kind.COST)  # what gives an answer a number

    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, related_name="model_versions")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    number = models.PositiveIntegerField()  # counted per campaign and kind, from 0
    state = models.CharField(max_length=10, choices=State.choices, default=State.CANDIDATE)
    # What it was trained from; empty for a version registered from outside.
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="children")
    snapshot = models.ForeignKey(
        "training.Snapshot", null=True, blank=True, on_delete=models.PROTECT, related_name="versions"
    )
    # A folder below settings.ATTUNE_FILES, an absolute folder, or a hub name.
    path = models.CharField(max_length=400)
    # The hash of its tensors where a gate has asked for it; it tells a copy in another folder from another model.
    weights = models.CharField(max_length=64, blank=True, default="")
    recipe = models.JSONField(default=dict, blank=True)
    metrics = models.JSONField(default=dict, blank=True)
    # When somebody whose judgements it learned from had their data erased.
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["campaign", "kind", "number"], name="version_number_once"),
            models.UniqueConstraint(
                fields=["campaign", "kind"], condition=Q(state="promoted"), name="version_one_promoted"
            ),
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def label(self) -> str:
        """Return the name used in files, exports and `Completion.origin`, such as "policy-3"."""
        return f"{self.kind}-{self.number}"

    @property
    def made_by(self) -> Run | None:
        """Return the run that trained or merged it, read once; None for a version registered from outside."""
        return getattr(self, "run", None)

    @property
    def chat_batch(self) -> str:
        """Return the name in `Task.batch` of what people judged while they talked to it."""
        return f"chat-{self.label}"
