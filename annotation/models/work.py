"""Who judges what, and until when: tasks with free seats, and assignments that hold a seat on a lease."""

from __future__ import annotations

import secrets
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from annotation.models.campaigns import Campaign
from annotation.models.content import Completion, Prompt
from annotation.models.people import User


class TaskQuerySet(models.QuerySet["Task"]):
    def open(self) -> TaskQuerySet:
        """Return the tasks that still have a free seat."""
        return self.filter(state=Task.State.OPEN, seats__gt=0)

    def for_person(self, user: Any) -> TaskQuerySet:
        """Return the tasks that are not made for somebody else."""
        return self.filter(made_for(user))


def made_for(user: Any) -> Q:
    """Return that a task is for everybody, or for this person."""
    return Q(assignee__isnull=True) | Q(assignee=user)


class Task(models.Model):
    """One item to judge. `seats` is how many more people may be given it now."""

    class State(models.TextChoices):
        OPEN = "open", pgettext_lazy("state", "Open")  # wants judgements
        COMPLETE = "complete", _("Complete")  # has as many as it wants
        WITHDRAWN = "withdrawn", _("Withdrawn")  # no longer wanted; judgements it has are kept

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="tasks", db_index=False)
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="tasks")
    completions: models.ManyToManyField = models.ManyToManyField(Completion, through="TaskCompletion")
    # The importer's own id; import again with the same id and nothing is doubled.
    external_id = models.CharField(max_length=200)
    # What people are shown, frozen when the task is made: {"messages": […], "completions": [{"id", "text"}, …]}; an
    # answer with images has its "parts" too (`annotation.messages`).
    # Frozen so that a judgement always refers to the words that were judged, and so that a claim needs no join.
    content = models.JSONField()
    # Where it comes from: {"round": int, "policy": str, "source": …}. Never shown to annotators.
    meta = models.JSONField(default=dict, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    wanted = models.PositiveSmallIntegerField()  # judgements wanted
    done = models.PositiveSmallIntegerField(default=0)  # judgements there
    seats = models.PositiveSmallIntegerField()  # wanted - done - live leases
    priority = models.IntegerField(default=0)  # higher first
    # Bits: what it asks of people and what it is about, by the places in `Campaign.tags`.
    tags = models.BigIntegerField(default=0)
    # Whom its answers were made for, by a policy that knows its users: nobody else is given it. None: for everybody.
    assignee = models.ForeignKey(
        User,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="tasks_made_for",
        db_index=False,
        editable=False,
    )
    # Drawn at random and never trained on: the unbiased sample that figures are computed from.
    is_audit = models.BooleanField(default=False)
    # Groups tasks that belong together, such as one round's; used for progress and deadlines.
    batch = models.CharField(max_length=60, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TaskQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["campaign", "external_id"], name="task_external_id_once"),
            # The last line of defence against handing one item to too many people.
            models.CheckConstraint(condition=Q(done__lte=models.F("wanted")), name="task_done_within_wanted"),
            models.CheckConstraint(
                condition=Q(seats__lte=models.F("wanted") - models.F("done")), name="task_seats_within_wanted"
            ),
        ]
        indexes = [
            # `services.queue.next_task` walks this index in order and stops at the first row it can lock.
            models.Index(
                "campaign",
                models.F("priority").desc(),
                "id",
                name="task_open_queue",
                condition=Q(state="open", seats__gt=0),
            ),
            models.Index(fields=["campaign", "batch", "state"], name="task_batch_state"),
            # In place of the key's own: the items of a campaign in the order they came in (`annotation.sums`).
            models.Index(fields=["campaign", "id"], name="task_in_order"),
            models.Index(fields=["assignee"], name="task_assignee", condition=Q(assignee__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"task {self.pk}"


class TaskCompletion(models.Model):
    """The completions of a task, in the canonical order that stored judgements refer to."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="task_completions")
    completion = models.ForeignKey(Completion, on_delete=models.CASCADE, related_name="task_completions")
    position = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["task", "position"], name="task_completion_position_once"),
        ]
        ordering = ["position"]

    def __str__(self) -> str:
        return f"{self.task} / {self.position}"


def new_assignment_key() -> str:
    """Return the unguessable name under which a browser knows an assignment."""
    return secrets.token_urlsafe(12)


class Assignment(models.Model):
    """A seat of a task, held by one person until `expires_at`."""

    class State(models.TextChoices):
        OPEN = "open", pgettext_lazy("state", "Open")  # handed out, lease running or just run out
        SUBMITTED = "submitted", _("Submitted")  # judged
        SKIPPED = "skipped", _("Skipped")  # handed back with a reason
        EXPIRED = "expired", _("Expired")  # lease ran out and the seat went back
        RELEASED = "released", _("Released")  # handed back without prejudice; this person may be offered it again
        # Set aside for later, draft and all. The seat went back, so that nobody waits for somebody who left.
        POSTPONED = "postponed", _("Set aside")

    # A person may hold the item on screen and the one prefetched behind it: two slots, no more.
    SLOTS = 2

    key = models.CharField(max_length=24, unique=True, default=new_assignment_key, editable=False)
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="assignments")
    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="assignments")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="assignments")
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    slot = models.PositiveSmallIntegerField(default=0)
    # Handed out because its answer is known, not because the item wants one more judgement.
    is_gold = models.BooleanField(default=False, editable=False)
    # Permutation: shown_order[i] is the canonical position of what stands in place i on the screen.
    shown_order = models.JSONField()
    # How this person's screens lean after this one, so that the next can make up for it; see `annotation.placement`.
    leaning = models.SmallIntegerField(default=0, editable=False)
    expires_at = models.DateTimeField()
    skip_reason = models.CharField(max_length=40, blank=True)
    skip_note = models.TextField(blank=True)
    # What the person has typed so far; kept when the lease is lost.
    draft = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            # Together these turn a double click, or two tabs, into the same item.
            models.UniqueConstraint(fields=["task", "user"], name="assignment_once_per_person"),
            models.UniqueConstraint(
                fields=["user", "campaign", "slot"], condition=Q(state="open"), name="assignment_one_open_per_slot"
            ),
            models.CheckConstraint(condition=Q(slot__lt=2), name="assignment_slot_in_range"),
        ]
        indexes = [
            models.Index(fields=["expires_at"], condition=Q(state="open"), name="assignment_expiry"),
            models.Index(fields=["user", "campaign"], condition=Q(state="postponed"), name="assignment_set_aside"),
            # One in twenty rows or so: when a person was given the last item whose answer is known.
            models.Index(fields=["user", "campaign", "-created_at"], condition=Q(is_gold=True), name="assignment_gold"),
            # Few of many, and the dashboards count them.
            models.Index(fields=["campaign", "user"], condition=Q(state="skipped"), name="assignment_skipped"),
            models.Index(fields=["campaign", "user"], condition=Q(state="open"), name="assignment_held"),
        ]

    def __str__(self) -> str:
        return f"{self.task} for {self.user}"
