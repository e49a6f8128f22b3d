"""The evidence on which a candidate was promoted or turned down."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class GateReport(models.Model):
    class Verdict(models.TextChoices):
        PASS = "pass", _("Pass")
        FAIL = "fail", _("No improvement shown")

    candidate = models.OneToOneField("training.ModelVersion", on_delete=models.CASCADE, related_name="gate_report")
    parent = models.ForeignKey("training.ModelVersion", on_delete=models.PROTECT, related_name="+")
    verdict = models.CharField(max_length=4, choices=Verdict.choices)
    # [{"name", "estimate", "low", "high", "n", "limit", "passed", "explanation"}, …]; the last by `annotation.told`
    figures = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"gate of {self.candidate}: {self.verdict}"
