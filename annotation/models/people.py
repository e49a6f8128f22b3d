"""Who works here: users and the role each holds in a campaign."""

from __future__ import annotations

import secrets

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils.translation import gettext_lazy as _


def new_pseudonym() -> str:
    """Return an opaque, stable name that stands for a person in every export."""
    return f"p-{secrets.token_hex(6)}"


class User(AbstractUser):
    pseudonym = models.CharField(max_length=20, unique=True, default=new_pseudonym, editable=False)
    # Counted in exports and in agreement apart from people; made by `manage.py simulate`.
    is_simulated = models.BooleanField(default=False)
    # What this person says of the answers they like, for campaigns whose policy answers each person as they like.
    profile_text = models.TextField(blank=True, default="", editable=False)

    # What the API token allows that a request came with (`annotation.access.SCOPES`); None: no token, no limit.
    scopes: frozenset[str] | None = None

    def __str__(self) -> str:
        return self.username


class Role(models.TextChoices):
    """What a person is in a campaign; what each may do is in `annotation.access`."""

    ANNOTATOR = "annotator", _("Annotator")  # judges items
    REVIEWER = "reviewer", _("Reviewer")  # decides where people disagree; sees what they said, and does not judge
    LEAD = "lead", _("Lead")  # configures, imports, exports, starts runs, promotes
    ENGINEER = "engineer", _("Engineer")  # exports, runs; may not change the campaign or promote
    RED_TEAM = "red-team", _("Red team")  # attacks models to measure them; reads, and starts nothing else


class Membership(models.Model):
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    campaign = models.ForeignKey("annotation.Campaign", on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=12, choices=Role.choices)
    # When this person read what they may have to read here, and wanted to go on.
    agreed_at = models.DateTimeField(null=True, blank=True)
    # What this person can do here, as the lead says: words, and languages as "lang:de".
    skills = models.JSONField(default=list, blank=True)
    # Categories of items this person does not want to be given. Shown to nobody else.
    declined = models.JSONField(default=list, blank=True, editable=False)
    # Since when the lead lets this person judge nothing more here; null: they may.
    held_back_at = models.DateTimeField(null=True, blank=True, editable=False)
    # How many of this person's judgements here a reviewer sent back and wait for a new version.
    returned = models.PositiveIntegerField(default=0, editable=False)
    # When this person passed the campaign's test.
    qualified_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Since when they are given nothing because they missed attention checks; a lead ends it.
    paused_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Whether they are to be told that they missed some, with the next page they see.
    warned_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Checks that were judged before do not count any more.
    checks_from = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "campaign", "role"], name="membership_once_per_role"),
        ]

    def __str__(self) -> str:
        return f"{self.user} as {self.role} in {self.campaign}"
