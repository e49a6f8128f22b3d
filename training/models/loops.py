"""The loop: a campaign whose answers come from a policy that learns from the judgements, round after round."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from annotation.models import Campaign, User
from annotation.told import ToldField


class Loop(models.Model):
    class State(models.TextChoices):
        ACTIVE = "active", _("Active")  # rounds advance
        PAUSED = "paused", _("Paused")  # nothing advances until a lead resumes
        STOPPED = "stopped", _("Stopped")  # final

    campaign = models.OneToOneField(Campaign, on_delete=models.PROTECT, related_name="loop")
    state = models.CharField(max_length=8, choices=State.choices, default=State.PAUSED)
    # Checked and completed by `training.recipes.loop.LoopSettings`.
    settings = models.JSONField(default=dict, blank=True)
    # Where prompts are drawn from: a JSON Lines file below settings.ATTUNE_FILES or inside the package.
    prompts_path = models.CharField(max_length=400)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"loop of {self.campaign}"


class Round(models.Model):
    class State(models.TextChoices):
        DRAFTING = "drafting", _("Choosing prompts")
        SAMPLING = "sampling", _("Sampling answers")
        LABELLING = "labelling", _("People judge")
        FREEZING = "freezing", _("Freezing the data")
        TRAINING = "training", _("Training")
        GATING = "gating", _("Gate")
        PROMOTED = "promoted", _("Promoted")  # final: the candidate is the new policy
        REJECTED = "rejected", _("Rejected")  # final: the candidate is kept, the old policy goes on
        STALLED = "stalled", _("Stalled")  # a step failed twice; a lead resumes or gives up
        CANCELLED = "cancelled", _("Cancelled")  # final

    FINAL = (State.PROMOTED, State.REJECTED, State.CANCELLED)

    loop = models.ForeignKey(Loop, on_delete=models.CASCADE, related_name="rounds")
    index = models.PositiveIntegerField()  # from 1
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFTING)
    # The state to go back to when a stalled round is resumed.
    stalled_in = models.CharField(max_length=10, blank=True)
    policy = models.ForeignKey("training.ModelVersion", on_delete=models.PROTECT, related_name="rounds")
    candidate = models.ForeignKey(
        "training.ModelVersion", null=True, blank=True, on_delete=models.PROTECT, related_name="rounds_as_candidate"
    )
    snapshot = models.ForeignKey(
        "training.Snapshot", null=True, blank=True, on_delete=models.PROTECT, related_name="rounds"
    )
    prompts = models.JSONField(default=list)  # the drafted prompts, by id
    held_out = models.JSONField(default=list)  # those that the gate was decided on, by id
    # Whether the loop's next own round follows this one, a gate that came between two of them.
    goes_on = models.BooleanField(default=False)
    # Why the round is where it is, in a sentence for the lead.
    note = ToldField(blank=True)
    labelling_started_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["loop", "index"], name="round_index_once"),
            models.UniqueConstraint(
                fields=["loop"],
                condition=~Q(state__in=["promoted", "rejected", "cancelled"]),
                name="round_one_unfinished",
            ),
        ]
        ordering = ["index"]

    def __str__(self) -> str:
        return f"round {self.index} of {self.loop}"

    @property
    def batch(self) -> str:
        """Return the name its tasks carry in `Task.batch`."""
        return f"round-{self.index}"

    @property
    def is_gate_only(self) -> bool:
        """Return whether it only decides on a policy that no round made: then it asked none of its own prompts."""
        return self.candidate_id is not None and not self.prompts

    @property
    def is_final(self) -> bool:
        return self.state in self.FINAL


class GateOrder(models.Model):
    """A policy that waits for its turn at a loop's gate; the row goes when its round begins, and the events stay."""

    loop = models.ForeignKey(Loop, on_delete=models.CASCADE, related_name="gate_orders")
    candidate = models.OneToOneField("training.ModelVersion", on_delete=models.CASCADE, related_name="gate_order")
    reason = models.CharField(max_length=2000, blank=True)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.candidate} waits for its gate"
