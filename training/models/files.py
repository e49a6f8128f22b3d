"""What a bucket holds of the files folder, where machines share no disk; see `training.store`."""

from __future__ import annotations

from django.db import models


class StoredFile(models.Model):
    """One file as it is now. Its bytes are in the bucket, under its path and hash."""

    path = models.CharField(max_length=500, unique=True)  # below the files folder
    sha256 = models.CharField(max_length=64)
    size = models.PositiveBigIntegerField()
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.path

    @property
    def key(self) -> str:
        """Return the object's name in the bucket: other bytes are another object, so that no reader meets a mixture."""
        return f"{self.path}/{self.sha256}"
