"""A campaign: one kind of feedback, asked about one collection of content, by one group of people."""

from __future__ import annotations

from datetime import datetime

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from annotation.models.people import Role, User


class CampaignQuerySet(models.QuerySet["Campaign"]):
    def kept(self) -> CampaignQuerySet:
        """Return those that nobody deleted."""
        return self.filter(deleted_at=None)

    def visible_to(self, user: User) -> CampaignQuerySet:
        """Return the campaigns in which `user` holds any role; all of them for a superuser."""
        if user.is_superuser:
            return self.kept()
        return self.kept().filter(memberships__user=user).distinct()

    def with_role(self, user: User, *roles: Role) -> CampaignQuerySet:
        if user.is_superuser:
            return self.kept()
        return self.kept().filter(memberships__user=user, memberships__role__in=roles).distinct()


class Campaign(models.Model):
    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")  # being set up; nobody gets items
        OPEN = "open", pgettext_lazy("state", "Open")  # items are handed out
        PAUSED = "paused", _("Paused")  # no new items; items already handed out may be submitted
        CLOSED = "closed", _("Closed")  # final; read only

    class Wellbeing(models.TextChoices):
        NONE = "none", _("Nothing unpleasant")
        POSSIBLE = "possible", _("Unpleasant texts are possible")
        LIKELY = "likely", _("Unpleasant texts are likely")

    name = models.CharField(max_length=120, unique=True)
    description = models.TextField(blank=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.DRAFT)
    # The name of a kind in `annotation.feedback`; no choices, or every plug-in would need a migration.
    kind = models.CharField(max_length=40, default="pairwise")
    # Settings of the kind (labels, whether ties are allowed, …); read only by the kind's own module.
    options = models.JSONField(default=dict, blank=True)
    # How many different people judge each item, unless the item says otherwise.
    overlap = models.PositiveSmallIntegerField(default=1, validators=[MinValueValidator(1), MaxValueValidator(50)])
    # Of so many per cent of the items, drawn when they are imported, so many people judge each: for agreement.
    cohort_percent = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(100)])
    cohort_overlap = models.PositiveSmallIntegerField(
        default=3, validators=[MinValueValidator(1), MaxValueValidator(50)]
    )
    # Where people's judgements leave an item's answer unsure, more are asked, up to so many; 0 for never.
    overlap_most = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(50)])
    # So many judgements more than are wanted, for who comes when others hold every seat and have not sent theirs.
    reserve = models.PositiveIntegerField(default=0, validators=[MaxValueValidator(10_000)])
    reserve_given = models.PositiveIntegerField(default=0, editable=False)
    # So many per cent of what each person is given are items whose answer is known; 0: those come like any other.
    gold_percent = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(50)])
    # Of a person's last attention checks, so many missed and they are told, so many and they are paused; 0 for never.
    check_warn = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(10)])
    check_pause = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(10)])
    # Before their first item people practise and pass a test: so many tries, items each, and per cent right; 0 tries
    # for no test.
    test_tries = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(20)])
    test_items = models.PositiveSmallIntegerField(default=10, validators=[MinValueValidator(1), MaxValueValidator(100)])
    test_percent = models.PositiveSmallIntegerField(
        default=80, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )
    lease_seconds = models.PositiveIntegerField(
        default=1800, validators=[MinValueValidator(60), MaxValueValidator(86400)]
    )
    # What people may have to read. Unless nothing, they are told and asked before their first item.
    wellbeing = models.CharField(max_length=8, choices=Wellbeing.choices, default=Wellbeing.NONE)
    # Whom to turn to after reading something bad, in Markdown: a person here, a helpline. Shown wherever one may stop.
    support = models.TextField(blank=True, max_length=2000)
    # The most items one person judges here in a day, and in a week from Monday on; 0 for no limit.
    daily_limit = models.PositiveIntegerField(default=0, validators=[MaxValueValidator(10_000)])
    weekly_limit = models.PositiveIntegerField(default=0, validators=[MaxValueValidator(50_000)])
    # After so many items in a row that are about something unpleasant: an easier one, or a rest. 0 for never.
    rest_after = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(1000)])
    # Categories that hold for an item whose row does not say what it is about. People may decline them.
    about = models.JSONField(default=list, blank=True)
    # The most judgements one person gives to one batch, such as a round, and the most per cent of all it wants; 0: any.
    batch_limit = models.PositiveIntegerField(default=0, validators=[MaxValueValidator(100_000)])
    batch_share = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(100)])
    # Skills, and languages as "lang:de", that people need for an item whose row does not say otherwise.
    requires = models.JSONField(default=list, blank=True)
    # What bit n of `Task.tags` stands for: "needs lang:de", "about violence"; see `annotation.routing`.
    tags = models.JSONField(default=list, blank=True, editable=False)
    # Whether a webhook wants to be told what happens here; kept by `services.webhooks`.
    listens = models.BooleanField(default=False, editable=False)
    guideline_version = models.PositiveIntegerField(default=1)
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="campaigns_created")
    created_at = models.DateTimeField(auto_now_add=True)
    # Since when no gate lets anybody in; all of it is kept, and comes back as it was. Null: it is there.
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = CampaignQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(overlap__gte=1), name="campaign_overlap_positive"),
        ]

    def __str__(self) -> str:
        return self.name

    # Whether who is asking was told what may come and agreed; set by `annotation.permissions.campaign_for`.
    agreed: bool = True
    # Whether who is asking passed the campaign's test, or needs none; set there as well, like the next two.
    qualified: bool = True
    # Since when they are given nothing, and since when they have something to be told of their attention.
    paused_at: datetime | None = None
    warned_at: datetime | None = None
    # Whether the lead lets who is asking judge nothing more for now; set there as well.
    held_back: bool = False
    # Which items are not for who is asking, as `annotation.routing.barred` counts them; set there as well.
    barred: int = 0
    # How many judgements of who is asking a reviewer sent back; set there as well.
    returned: int = 0
    # The categories that who is asking declined; nobody else's business.
    declined: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        return self.state == self.State.OPEN


class Guideline(models.Model):
    """One version of a campaign's instructions. Never edited: a change is a new version."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="guidelines")
    version = models.PositiveIntegerField()
    text = models.TextField(blank=True)  # Markdown
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["campaign", "version"], name="guideline_version_once"),
        ]

    def __str__(self) -> str:
        return f"{self.campaign} guideline {self.version}"
