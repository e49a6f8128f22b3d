"""Whom each item of a round is made for, where a policy knows its users: one annotator, and nobody else (card 42)."""

from __future__ import annotations

import random
from collections.abc import Iterable

from annotation.models import Campaign, Membership, Role, Task, User
from annotation.services import queue
from training.models import ModelVersion, Round
from training.recipes.loop import LoopSettings
from training.services import versions


def people(campaign: Campaign) -> dict[str, User]:
    """Return who may be given items here by their pseudonyms: annotators whose account is in use and who are let."""
    there = Membership.objects.filter(
        campaign=campaign, role=Role.ANNOTATOR, user__is_active=True, held_back_at=None, paused_at=None
    )
    found = {one.user.pseudonym: one.user for one in there.select_related("user")}
    return dict(sorted(found.items()))


def shares(
    round: Round, settings: LoopSettings, prompts: Iterable[str], *, policies: Iterable[ModelVersion]
) -> dict[str, str]:
    """Return by prompt the pseudonym of whom it is answered, in turn over people in an order drawn for the round.

    Nothing where no policy knows anybody. Somebody whom it does not know yet has their share too, as anybody is
    answered: of that it learns what they like.
    """
    if not settings.personal or not any(versions.users(policy) for policy in policies):
        return {}
    names = list(people(round.loop.campaign))
    random.Random(f"people of round {round.pk}").shuffle(names)
    return {prompt: names[place % len(names)] for place, prompt in enumerate(prompts)} if names else {}


def withdraw_absent(round: Round, batch: str) -> int:
    """Take out of the queue what was made for people who are given nothing here any more; return how many items."""
    campaign = round.loop.campaign
    waiting = Task.objects.filter(campaign=campaign, batch=batch, state=Task.State.OPEN, assignee__isnull=False)
    left = waiting.exclude(assignee__in=[person.pk for person in people(campaign).values()])
    tasks = list(left.values_list("pk", flat=True))
    return queue.withdraw(tasks=tasks) if tasks else 0
