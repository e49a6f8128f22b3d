"""A piece of work for a worker. The row is the job; a Celery message only wakes someone up to look at it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from annotation.models import Campaign, User
from annotation.told import Told, ToldField, told


class Run(models.Model):
    class Kind(models.TextChoices):
        FIT = "fit", _("Training")
        SAMPLE = "sample", _("Sampling")
        EVALUATE = "evaluate", _("Evaluation")

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")  # for another run, which makes the model that it reads
        QUEUED = "queued", _("Queued")  # waits for a worker
        RUNNING = "running", _("Running")  # a worker follows a child process
        SUCCEEDED = "succeeded", _("Succeeded")  # final
        FAILED = "failed", _("Failed")  # final; `error` says why
        CANCELLED = "cancelled", _("Cancelled")  # final; a person said stop

    FINAL = (State.SUCCEEDED, State.FAILED, State.CANCELLED)

    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, related_name="runs")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    # {"name", "version", "knobs": {…}}: enough to run it again.
    recipe = models.JSONField()
    # What the run reads: {"model": path, "scorers": {…}, "data": path, …}, as RunSpec wants it. Of a waiting run also
    # "awaits": which run makes its model or a scorer; see `training.services.waiting`.
    inputs = models.JSONField(default=dict)
    seed = models.PositiveIntegerField(default=0)
    parent = models.ForeignKey(
        "training.ModelVersion", null=True, blank=True, on_delete=models.PROTECT, related_name="runs_from"
    )
    snapshot = models.ForeignKey(
        "training.Snapshot", null=True, blank=True, on_delete=models.PROTECT, related_name="runs"
    )
    output = models.OneToOneField(
        "training.ModelVersion", null=True, blank=True, on_delete=models.SET_NULL, related_name="run"
    )
    round = models.ForeignKey("training.Round", null=True, blank=True, on_delete=models.CASCADE, related_name="runs")
    # What the run is to its round: "sample", "reward", "cost", "policy" or "gate". A round has one of each at most.
    purpose = models.CharField(max_length=10, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    cancel_requested = models.BooleanField(default=False)
    # Times a worker took it up since it was last queued by a person or wrote its last checkpoint.
    attempts = models.PositiveSmallIntegerField(default=0)
    # Times it ended in `failed`; a round tries again after the first and stalls after the second.
    failures = models.PositiveSmallIntegerField(default=0)
    # Names the attempt that holds the run; a worker that finds another name here lets go.
    claim = models.CharField(max_length=40, blank=True)
    # Running: the last sign of life. Queued: when a message was last sent.
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    # The child process, so that a later worker can stop an orphan: a pid alone may have been reused.
    pid = models.PositiveIntegerField(null=True, blank=True)
    pid_started = models.FloatField(null=True, blank=True)
    step = models.PositiveIntegerField(default=0)
    total_steps = models.PositiveIntegerField(default=0)
    # The last metrics line, and result.json once there is one.
    progress = models.JSONField(default=dict, blank=True)
    result = models.JSONField(default=dict, blank=True)
    error = ToldField(blank=True)
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    # The request that had it made, as the log calls it; empty when a round or a command did.
    request_name = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            # Two steps of a round that run at the same time make one run between them.
            models.UniqueConstraint(
                fields=["round", "purpose"], condition=~Q(purpose=""), name="run_once_per_purpose_of_round"
            ),
        ]
        indexes = [
            models.Index(fields=["state", "heartbeat_at"], name="run_state_heartbeat"),
            models.Index(fields=["campaign", "-id"], name="run_campaign"),
        ]

    def __str__(self) -> str:
        return f"run {self.pk}"

    @property
    def told(self) -> Told:
        """Return what it is called at the beginning of a sentence."""
        return told("Run {number}", number=self.pk)

    @property
    def is_final(self) -> bool:
        return self.state in self.FINAL
