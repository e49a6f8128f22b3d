"""What training hears from annotation, which knows nothing of it."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.dispatch import receiver

from annotation.models import Task, User
from annotation.signals import person_erased, task_completed
from training.models import Round
from training.services import messages, withdrawals


@receiver(task_completed, dispatch_uid="training.wake_round_when_judged")
def wake_round_when_judged(task: Task, **_: Any) -> None:
    """Wake a round when the last task of its batch has been judged. The beat would find it too, seconds later.

    SQL: one statement after the commit that completes a task of some batch; none for other tasks.
    """
    if not task.batch:
        return
    campaign, batch = task.campaign_id, task.batch

    def wake() -> None:
        waiting = Round.objects.filter(
            ~Exists(Task.objects.filter(campaign=OuterRef("loop__campaign"), batch=batch, state=Task.State.OPEN)),
            loop__campaign=campaign,
            state__in=[Round.State.LABELLING, Round.State.GATING],
        )
        for round_id in waiting.values_list("pk", flat=True):
            messages.wake_round(round_id)

    transaction.on_commit(wake)


@receiver(person_erased, dispatch_uid="training.mark_what_a_person_is_in")
def mark_what_a_person_is_in(person: User, pseudonym: str, **_: Any) -> None:
    """Mark the data sets and models that a person's judgements are in, and delete their chats."""
    withdrawals.mark(person=person, pseudonym=pseudonym)
