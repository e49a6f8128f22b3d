"""Attention checks: items that nobody who reads them gets wrong. Who misses several is told, then paused; never banned.

A lead sees each check that was missed, with what was right and what was said, and lets the person go on. What they
judged stays and counts as before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation import gold
from annotation.errors import Invalid
from annotation.feedback import kind
from annotation.models import Campaign, Feedback, Gold, Membership, User
from annotation.services import events

# So many of a person's last checks count.
LAST = 10


@dataclass(frozen=True)
class Check:
    """A check that a person judged, and what came of each thing."""

    feedback: Feedback
    compared: Sequence[gold.Compared]

    @property
    def is_missed(self) -> bool:
        return any(not part.is_hit for part in self.compared)


@dataclass(frozen=True)
class Standing:
    """How a person stands with their checks."""

    user: User
    checks: Sequence[Check]
    warned_at: Any
    paused_at: Any

    @property
    def missed(self) -> list[Check]:
        return [one for one in self.checks if one.is_missed]


def look(feedback: Feedback) -> None:
    """Tell or pause whoever judged this, if it was a check and they missed too many. Call it where it is stored."""
    campaign = feedback.campaign
    if not (campaign.check_warn or campaign.check_pause):
        return
    if not Gold.objects.filter(task=feedback.task_id, purpose=Gold.Purpose.CHECK).exists():
        return
    checks = last_checks(feedback.user, campaign)
    if not checks or checks[0].feedback.pk != feedback.pk or not checks[0].is_missed:
        return
    missed = sum(one.is_missed for one in checks)
    held = Membership.objects.filter(user=feedback.user_id, campaign=campaign)
    detail = {"missed": missed, "checks": len(checks)}
    if campaign.check_pause and missed >= campaign.check_pause:
        if held.filter(paused_at=None).update(paused_at=timezone.now(), warned_at=None):
            _record(campaign, None, "person.paused", feedback.user, detail)
    elif campaign.check_warn and missed >= campaign.check_warn and held.update(warned_at=timezone.now()):
        _record(campaign, None, "person.warned", feedback.user, detail)


def last_checks(user: User, campaign: Campaign) -> list[Check]:
    """Return a person's last checks, the newest first, of those since a lead last let them go on. Two statements."""
    since = [
        one
        for one in Membership.objects.filter(user=user, campaign=campaign).values_list("checks_from", flat=True)
        if one is not None
    ]
    said = Feedback.objects.current().filter(user=user, campaign=campaign, is_review=False)
    said = said.filter(task__gold__purpose=Gold.Purpose.CHECK, task__gold__retired_at=None)
    if since:
        said = said.filter(created_at__gt=max(since))
    rows = said.select_related("task__gold").order_by("-id")[:LAST]
    feedback_kind = kind(campaign.kind)
    return [
        Check(
            one,
            gold.compare(
                feedback_kind,
                gold.GoldAnswer(one.task.gold.payload, one.task.gold.tolerance),
                one.payload,
                options=campaign.options,
                shown_order=one.shown_order,
            ),
        )
        for one in rows
    ]


def standings(campaign: Campaign) -> list[Standing]:
    """Return everybody who judged a check here, who is paused first, then who missed most."""
    said = Feedback.objects.current().filter(campaign=campaign, task__gold__purpose=Gold.Purpose.CHECK, is_review=False)
    people = list(User.objects.filter(pk__in=said.values("user")).order_by("pseudonym")[:500])
    held: dict[int, list[Membership]] = {}
    for one in Membership.objects.filter(campaign=campaign, user__in=people):
        held.setdefault(one.user_id, []).append(one)
    found = []
    for user in people:
        mine = held.get(user.pk, [])
        warned = max((one.warned_at for one in mine if one.warned_at), default=None)
        paused = max((one.paused_at for one in mine if one.paused_at), default=None)
        found.append(Standing(user, last_checks(user, campaign), warned, paused))
    return sorted(found, key=lambda one: (one.paused_at is None, -len(one.missed), one.user.pseudonym))


def seen(*, campaign: Campaign, user: User) -> None:
    """Note that this person read what they were told; safe to repeat."""
    Membership.objects.filter(campaign=campaign, user=user).update(warned_at=None)


@transaction.atomic
def lift(*, campaign: Campaign, pseudonym: str, actor: User) -> User:
    """Let a paused person go on, and count their checks from nothing; raises `Invalid` where nobody is paused."""
    held = Membership.objects.filter(campaign=campaign, user__pseudonym=pseudonym, paused_at__isnull=False)
    first = held.select_related("user").first()
    if first is None:
        raise Invalid(_("Nobody of that name is paused here."))
    held.update(paused_at=None, warned_at=None, checks_from=timezone.now())
    _record(campaign, actor, "person.lifted", first.user, {})
    return first.user


def _record(campaign: Campaign, actor: User | None, action: str, user: User, detail: dict[str, Any]) -> None:
    events.record(campaign=campaign, actor=actor, action=action, target=user.username, detail=detail)
