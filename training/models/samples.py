"""Which policy version wrote which completion, and what the reward model thought of it."""

from __future__ import annotations

from django.db import models

from annotation.models import Completion


class Sample(models.Model):
    completion = models.ForeignKey(Completion, on_delete=models.CASCADE, related_name="samples")
    version = models.ForeignKey("training.ModelVersion", on_delete=models.CASCADE, related_name="samples")
    # None for an answer in a chat.
    round = models.ForeignKey("training.Round", null=True, blank=True, on_delete=models.CASCADE, related_name="samples")
    scores = models.JSONField(default=dict, blank=True)  # scorer name → number
    logp = models.FloatField(null=True, blank=True)  # summed log-probability under `version`, in nats
    settings = models.JSONField(default=dict, blank=True)  # temperature, seed, …

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["completion", "version", "round"], name="sample_once_per_round"),
        ]

    def __str__(self) -> str:
        return f"sample of {self.version}"
