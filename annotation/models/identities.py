"""Who somebody is at an identity provider (OpenID Connect): its issuer's address and its name for them."""

from __future__ import annotations

from django.db import models

from annotation.models.people import User


class Identity(models.Model):
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="identities")
    issuer = models.CharField(max_length=255)
    subject = models.CharField(max_length=255)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["issuer", "subject"], name="identity_once"),
        ]

    def __str__(self) -> str:
        return f"{self.subject} at {self.issuer}"
