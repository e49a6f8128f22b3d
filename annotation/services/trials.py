"""Before the first item: practice with what was right after each, then a test. Nothing said here is a judgement."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation import gold
from annotation.errors import Invalid, TooMany
from annotation.feedback import kind, of_item
from annotation.models import Campaign, Gold, Membership, Task, Trial, TrialAnswer, User
from annotation.services import events
from annotation.services.queue import shown_order

PRACTICE = 0


@dataclass(frozen=True)
class Step:
    """What comes next for a person: an item of practice or of a test, or the end of it."""

    trial: Trial | None
    task: Task | None  # the item to answer; None when the trial is over, or there is none
    answered: int = 0
    tries_left: int = 0

    @property
    def is_practice(self) -> bool:
        return self.trial is not None and self.trial.number == PRACTICE


@dataclass(frozen=True)
class Answered:
    """What came of an answer. Of a test, only that it was kept: who is told each answer passes the next one."""

    answer: TrialAnswer
    compared: Sequence[gold.Compared]
    trial: Trial


def step(*, user: User, campaign: Campaign) -> Step:
    """Return where this person is; nothing is begun by looking. Practice comes first, where there is any."""
    trials = list(Trial.objects.filter(user=user, campaign=campaign).order_by("number"))
    last = trials[-1] if trials else None
    tries = sum(one.number > PRACTICE for one in trials)
    left = max(0, campaign.test_tries - tries)
    if last is not None and last.ended_at is None:
        return Step(last, *_next_of(last, campaign), tries_left=left)
    if last is None and _golds(campaign, Gold.Purpose.PRACTICE):
        return Step(None, None, tries_left=left)
    return Step(last, None, tries_left=left)


@transaction.atomic
def begin(*, user: User, campaign: Campaign) -> Trial:
    """Begin practice, or after it the next try; the one that goes on is returned as it is.

    Raises `TooMany` after the last try, and `Invalid` where the campaign has no test yet.
    """
    if not campaign.test_tries:
        raise Invalid(_("This campaign has no test; its items are open to you."))
    # Locked, so that two tabs begin one try.
    list(Membership.objects.select_for_update().filter(user=user, campaign=campaign).values_list("pk"))
    last = Trial.objects.filter(user=user, campaign=campaign).order_by("-number").first()
    if last is not None and last.ended_at is None:
        _end(last, user, campaign)  # where the rest of its items was retired meanwhile
    if last is not None and last.passed:
        # Also who left and came back: what was passed once stays passed.
        held = Membership.objects.filter(user=user, campaign=campaign, qualified_at=None)
        held.update(qualified_at=last.ended_at)
    if last is not None and (last.ended_at is None or last.passed):
        return last
    practice = _golds(campaign, Gold.Purpose.PRACTICE)
    if last is None and practice:
        return Trial.objects.create(user=user, campaign=campaign, number=PRACTICE, tasks=_mixed(practice, user, 0))
    number = 1 if last is None else last.number + 1
    if number > campaign.test_tries:
        raise TooMany(_("You have had all your tries at this test. Talk to the lead of the campaign."))
    pool = _golds(campaign, Gold.Purpose.TEST)
    if not pool:
        raise Invalid(_("The test is still being prepared; come back later."))
    had = Counter(TrialAnswer.objects.filter(trial__user=user, task__in=pool).values_list("task_id", flat=True))
    # What they had least often comes first, in an order of their own.
    drawn = sorted(_mixed(pool, user, number), key=lambda task: had[task])[: campaign.test_items]
    return Trial.objects.create(user=user, campaign=campaign, number=number, tasks=_mixed(drawn, user, number))


@transaction.atomic
def answer(*, user: User, campaign: Campaign, task_id: int, data: Mapping[str, Any]) -> Answered:
    """Keep what this person says of the item they were shown; the same item again gives what was kept.

    Raises `Invalid`. With the last answer the trial ends, and a test is passed or not.
    """
    trial = Trial.objects.select_for_update().filter(user=user, campaign=campaign).order_by("-number").first()
    if trial is None or task_id not in _still(trial):
        raise Invalid(_("This item is none of your present practice or test; go on with the one that is shown."))
    task = Task.objects.select_related("gold").get(pk=task_id)
    task.campaign = campaign
    stored = TrialAnswer.objects.filter(trial=trial, task=task).first()
    if stored is None:
        order = shown_order(task=task, user=user)
        options = of_item.for_task(campaign.options, task)
        payload = kind(campaign.kind).parse(data, options=options, shown_order=order)
        compared = _compared(campaign, task, payload, order)
        stored = TrialAnswer.objects.create(
            trial=trial,
            task=task,
            payload=payload,
            shown_order=order,
            things=len(compared),
            hits=sum(part.is_hit for part in compared),
        )
        _end(trial, user, campaign)
    compared = _compared(campaign, task, stored.payload, stored.shown_order) if trial.number == PRACTICE else []
    return Answered(stored, compared, trial)


def results(campaign: Campaign) -> list[Trial]:
    """Return all tries at the test, and practice, the newest first, for a lead; each with its person."""
    return list(Trial.objects.filter(campaign=campaign).select_related("user").order_by("-pk")[:1000])


@transaction.atomic
def admit(*, campaign: Campaign, pseudonym: str, actor: User) -> User:
    """Let a person judge whatever their test says; raises `Invalid` for who is not here."""
    held = Membership.objects.filter(campaign=campaign, user__pseudonym=pseudonym)
    first = held.select_related("user").first()
    if first is None:
        raise Invalid(_("Nobody of that name works here."))
    if held.filter(qualified_at=None).update(qualified_at=timezone.now()):
        events.record(campaign=campaign, actor=actor, action="person.admitted", target=first.user.username)
    return first.user


def _end(trial: Trial, user: User, campaign: Campaign) -> None:
    """End the trial when all of it was answered."""
    rows = list(trial.answers.values_list("task_id", "things", "hits"))
    if set(_still(trial)) - {task for task, _things, _hits in rows}:
        return
    trial.ended_at = timezone.now()
    if trial.number > PRACTICE:
        things = sum(things for _task, things, _hits in rows)
        trial.right = sum(hits for _task, _things, hits in rows) / things if things else 0.0
        # In whole things, so that 80 per cent of ten are eight whatever the floating point says.
        trial.passed = sum(hits for _t, _n, hits in rows) * 100 >= campaign.test_percent * things > 0
        if trial.passed:
            Membership.objects.filter(user=user, campaign=campaign).update(qualified_at=trial.ended_at)
        action = "person.qualified" if trial.passed else "person.failed"
        detail = {"try": trial.number, "right": round(trial.right, 4)}
        events.record(campaign=campaign, actor=user, action=action, target=user.username, detail=detail)
    trial.save(update_fields=["ended_at", "right", "passed"])


def _next_of(trial: Trial, campaign: Campaign) -> tuple[Task | None, int]:
    answered = set(trial.answers.values_list("task_id", flat=True))
    left = [task for task in _still(trial) if task not in answered]
    task = Task.objects.filter(pk=left[0]).first() if left else None
    if task is not None:
        task.campaign = campaign
    return task, len(answered)


def _still(trial: Trial) -> list[int]:
    """Return the items of a trial whose answer is still known."""
    known = set(Gold.objects.filter(task__in=trial.tasks, retired_at=None).values_list("task_id", flat=True))
    return [task for task in trial.tasks if task in known]


def _golds(campaign: Campaign, purpose: str) -> list[int]:
    # These are asked of everybody, and what was made for one person is shown to nobody else.
    used = Gold.objects.filter(task__campaign=campaign, task__assignee=None, purpose=purpose, retired_at=None)
    return list(used.exclude(task__state=Task.State.WITHDRAWN).order_by("task_id").values_list("task_id", flat=True))


def _mixed(tasks: Sequence[int], user: User, number: int) -> list[int]:
    """Return the items in an order that is this person's and this try's."""
    return random.Random(f"trial/{user.pk}/{number}").sample(list(tasks), len(tasks))


def _compared(campaign: Campaign, task: Task, payload: dict[str, Any], order: Sequence[int]) -> list[gold.Compared]:
    answer = gold.GoldAnswer(task.gold.payload, task.gold.tolerance)
    return gold.compare(kind(campaign.kind), answer, payload, options=campaign.options, shown_order=order)
