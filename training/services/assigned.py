"""Whom each item of a round is made for, where a policy knows its users: one annotator, and nobody else (card 42)."""

from __future__ import annotations

import random
from collections.abc import Iterable

from django.db.models import Exists, OuterRef, Q, QuerySet

from annotation import routing
from annotation.models import Assignment, Campaign, Membership, Role, Task, User
from annotation.services import queue
from training.models import ModelVersion, Round
from training.recipes.loop import LoopSettings
from training.services import versions


def members(campaign: Campaign) -> dict[str, User]:
    """Return by their pseudonyms the annotators who have not left: also those who are given nothing for a while."""
    there = Membership.objects.filter(campaign=campaign, role=Role.ANNOTATOR, user__is_active=True)
    found = {one.user.pseudonym: one.user for one in there.select_related("user")}
    return dict(sorted(found.items()))


def people(campaign: Campaign) -> dict[str, User]:
    """Return those of `members` to whom the queue hands out items of a round now, as `queue.next_task` asks."""
    held: dict[int, list[Membership]] = {}
    for one in Membership.objects.filter(campaign=campaign):
        held.setdefault(one.user_id, []).append(one)
    return {name: user for name, user in members(campaign).items() if _is_given_items(campaign, held.get(user.pk, []))}


def _is_given_items(campaign: Campaign, memberships: list[Membership]) -> bool:
    if any(one.paused_at or one.held_back_at for one in memberships):
        return False
    if campaign.test_tries and not any(one.qualified_at or one.role == Role.LEAD for one in memberships):
        return False
    if campaign.wellbeing != Campaign.Wellbeing.NONE and not any(one.agreed_at for one in memberships):
        return False
    # Items of a round say nothing of themselves, so that what the campaign says of its items holds for them.
    skills = {skill for one in memberships for skill in one.skills}
    declined = {category for one in memberships for category in one.declined}
    asked = routing.bits(campaign.tags, needs=campaign.requires, about=campaign.about)
    return not asked & routing.barred(campaign.tags, skills=skills, declined=declined)


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


def withdraw_absent(round: Round, batch: str, *, is_late: bool) -> int:
    """Take out of the queue what nobody will judge; return how many items.

    That is what was made for people who have left or have skipped it, and once it `is_late`, for people who are given
    nothing now: they may be let go on in time. An account that is out of use may have been erased while items were
    made for it, so nothing tells of it any more.
    """
    campaign = round.loop.campaign
    waiting = Task.objects.filter(campaign=campaign, batch=batch, state=Task.State.OPEN, assignee__isnull=False)
    if waiting.exists():
        there = people(campaign) if is_late else members(campaign)
        skipped = Assignment.objects.filter(
            task=OuterRef("pk"), user=OuterRef("assignee"), state=Assignment.State.SKIPPED
        )
        nobodys = ~Q(assignee__in=[person.pk for person in there.values()]) | Exists(skipped)
        tasks = list(waiting.filter(nobodys).values_list("pk", flat=True))
        if tasks:
            withdrawn = queue.withdraw(tasks=tasks)
            forget_gone(round, batch)
            return withdrawn
    return 0


def forget_gone(round: Round, batch: str) -> None:
    """Take from withdrawn items for whom they were made, where that account is out of use and so may be erased."""
    _withdrawn(round, batch).filter(assignee__is_active=False).update(assignee=None)


def gone(round: Round, batch: str) -> int:
    """Return how many items of a batch were withdrawn that are nobody's, or of people who have left."""
    there = [person.pk for person in members(round.loop.campaign).values()]
    return _withdrawn(round, batch).filter(Q(assignee=None) | ~Q(assignee__in=there)).count()


def _withdrawn(round: Round, batch: str) -> QuerySet[Task]:
    return Task.objects.filter(campaign_id=round.loop.campaign_id, batch=batch, state=Task.State.WITHDRAWN)
