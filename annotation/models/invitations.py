"""A link that makes whoever holds it a member of a campaign, until it ends or is used up."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from annotation.models.campaigns import Campaign
from annotation.models.people import Role, User


class Invitation(models.Model):
    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="invitations")
    role = models.CharField(max_length=12, choices=Role.choices)
    # SHA-256 of the secret in the link, which is 256 random bits and kept nowhere.
    digest = models.CharField(max_length=64, unique=True)
    email = models.EmailField(blank=True)  # whom the link was sent to, if anybody
    most_uses = models.PositiveIntegerField(default=1)
    uses = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(uses__lte=F("most_uses")), name="invitation_uses_within_most"),
        ]

    def __str__(self) -> str:
        return f"invitation {self.pk}"

    @property
    def is_open(self) -> bool:
        return self.revoked_at is None and self.uses < self.most_uses and self.expires_at > timezone.now()
