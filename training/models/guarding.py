"""What came through a campaign's guard, where it is kept, and how its detector of jailbreaks did on it, by slices."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from annotation.models import Campaign, User
from annotation.told import ToldField


class GuardWatch(models.Model):
    """Whether a campaign keeps what its guard reads and retrains the detector on it; no row, or no `keep`: neither."""

    campaign = models.OneToOneField(Campaign, on_delete=models.PROTECT, related_name="guard_watch")
    # Checked and completed by `training.recipes.drift.watch_settings`.
    settings = models.JSONField(default=dict)
    # When slice 0 begins: with the oldest prompt there was when the first detector was asked for.
    began_at = models.DateTimeField(null=True, blank=True)
    # What the next retraining goes on from: {"usual", "broke", "trained"}, as the last run left it.
    state = models.JSONField(default=dict, blank=True)
    # The run that is under way, or whose results have not been taken over.
    run = models.OneToOneField("training.Run", null=True, blank=True, on_delete=models.SET_NULL, related_name="watch")
    # Why the last one failed, or could not begin; empty when all is well.
    note = ToldField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"guard of {self.campaign}"


class GuardWeek(models.Model):
    """A slice: which detector judged it, before anything was learned from it, and what it said."""

    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, related_name="guard_weeks")
    index = models.PositiveIntegerField()
    begins_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    run = models.ForeignKey("training.Run", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    # The version that judged; None where several slices were caught up on at once, and for one that a person deleted.
    detector = models.ForeignKey(
        "training.ModelVersion", null=True, blank=True, on_delete=models.SET_NULL, related_name="weeks_judged"
    )
    trained_through = models.PositiveIntegerField()  # the last slice that the detector had learned
    threshold = models.FloatField()
    prompts = models.PositiveIntegerField()
    positives = models.PositiveIntegerField()  # by the detector's own labels
    flagged = models.PositiveIntegerField()  # above the threshold
    labels = models.JSONField(default=dict)  # how many the slice got from whom
    alarm = ToldField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["campaign", "index"], name="guard_week_once")]
        ordering = ["index"]

    def __str__(self) -> str:
        return f"slice {self.index} of {self.campaign}"


class GuardedPrompt(models.Model):
    """What somebody asked a policy behind the guard: once, however often it was asked."""

    class Source(models.TextChoices):
        CHAT = "chat", "Chat"  # an annotator's, or one of the playground
        API = "api", "API"  # a client of the serving endpoint
        IMPORT = "import", "Import"  # sent in by a lead
        ROUND = "round", "Round"  # of the campaign's own prompts, before they were answered

    class Reason(models.TextChoices):
        RANDOM = "random", "Drawn at random"  # errors are measured on these
        UNCERTAIN = "uncertain", "The detector is unsure"
        MONITOR = "monitor", "Found by the monitor"
        ALL = "all", "Every prompt is labelled"
        FOCUSED = "focused", "The guard wants a person"

    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, related_name="guarded_prompts")
    digest = models.CharField(max_length=64)  # of the text
    text = models.TextField()
    source = models.CharField(max_length=6, choices=Source.choices)
    # Who asked, so that it goes with them; nobody for what was imported.
    person = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="guarded_prompts")
    at = models.DateTimeField()
    # Whether it is a jailbreak, and who says so: "human", "monitor" or "self"; see `training.core.guard.drift`.
    jailbreak = models.BooleanField(null=True, blank=True)
    labelled_by = models.CharField(max_length=8, blank=True)
    # Of the detector that judged its slice.
    confidence = models.FloatField(null=True, blank=True)
    flagged = models.BooleanField(null=True, blank=True)
    # What the guard's own check said when it was asked, and what was answered; of prompts that want a person alone.
    tier = models.CharField(max_length=20, blank=True, default="")
    risk = models.FloatField(null=True, blank=True)
    answered = models.TextField(blank=True, default="")
    # Why people are asked about it; empty where they are not.
    reason = models.CharField(max_length=10, choices=Reason.choices, blank=True)
    asked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["campaign", "digest"], name="guarded_prompt_once")]
        indexes = [
            models.Index(fields=["campaign", "at"], name="guarded_prompt_at"),
            models.Index(fields=["campaign", "reason"], condition=~Q(reason=""), name="guarded_prompt_asked"),
            models.Index(fields=["campaign", "at"], condition=~Q(tier=""), name="guarded_prompt_tier"),
        ]
        ordering = ["at", "pk"]

    def __str__(self) -> str:
        return f"guarded prompt {self.pk}"


class KnowledgeDocument(models.Model):
    """A version of a document that the guard's safe answers quote. Rows are only ever added; the newest one counts."""

    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, related_name="knowledge")
    name = models.CharField(max_length=120)  # by which it is cited
    number = models.PositiveIntegerField()  # of the version, from 1
    text = models.TextField(blank=True)  # empty where the document was removed
    removed = models.BooleanField(default=False)
    owner = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    changed_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    note = models.CharField(max_length=200, blank=True)  # why it was changed
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["campaign", "name", "number"], name="knowledge_version_once"),
        ]
        ordering = ["name", "-number"]

    def __str__(self) -> str:
        return f"{self.name} v{self.number}"
