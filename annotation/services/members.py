"""Who works in a campaign: taken in by its lead, told what they may have to read, out again at their own wish."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation.access import Action, roles_for
from annotation.errors import Invalid
from annotation.models import Assignment, Campaign, Membership, Role, User
from annotation.services import events
from annotation.services.campaigns import lock
from annotation.services.queue import release
from annotation.storable import unstorable


@transaction.atomic
def add(*, campaign: Campaign, username: str, role: Role | str, actor: User) -> Membership:
    """Return the membership; adding a person twice in one role changes nothing."""
    if role not in Role.values:
        message = _("Give one of these roles: {roles}.").format(roles=", ".join(Role.values))
        raise Invalid(message, {"role": [message]})
    user = None if unstorable(username) else User.objects.filter(username=username).first()
    if user is None:
        message = _("There is no user called {name}; check the spelling or ask an administrator to add them.")
        message = message.format(name=repr(username))
        raise Invalid(message, {"username": [message]})
    membership, created = Membership.objects.get_or_create(campaign=campaign, user=user, role=Role(role))
    if created:
        events.record(
            campaign=campaign, actor=actor, action="member.added", target=user.username, detail={"role": str(role)}
        )
    return membership


def agree(*, campaign: Campaign, user: User) -> None:
    """Keep that this person was told what they may have to read here, and wants to judge all the same."""
    unasked = Membership.objects.filter(campaign=campaign, user=user, agreed_at=None)
    unasked.update(agreed_at=timezone.now())
    campaign.agreed = True


@transaction.atomic
def leave(*, campaign: Campaign, user: User) -> None:
    """Take an annotator out at their own wish; nobody asks why. Their judgements stay, what they hold goes back.

    Raises `Invalid` for somebody who does not judge here as an annotator.
    """
    membership = Membership.objects.filter(campaign=campaign, user=user, role=Role.ANNOTATOR).first()
    if membership is None:
        raise Invalid(_("You are no annotator of this campaign, so there is nothing to leave."))
    hand_back(campaign=campaign, user=user)
    membership.delete()
    events.record(campaign=campaign, actor=user, action="member.left", target=user.username)


@transaction.atomic
def hand_back(*, campaign: Campaign, user: User) -> int:
    """Give back, unjudged, all items this person holds here, and return how many; drafts are kept."""
    held = campaign.assignments.filter(user=user, state=Assignment.State.OPEN)
    returned = list(held.order_by("-task__priority", "task_id"))  # the order of `queue.QUEUE_ORDER`
    for assignment in returned:
        release(assignment=assignment)
    return len(returned)


@transaction.atomic
def hold_back(*, campaign: Campaign, username: str, held_back: bool, actor: User) -> None:
    """Let a person judge nothing more here, or go on again; raises `Invalid`. They keep their roles.

    Items on their screen go back to the queue, drafts are kept, and what is sent late counts as any late judgement.
    """
    held = Membership.objects.select_for_update(no_key=True).filter(campaign=campaign, role__in=roles_for(Action.JUDGE))
    mine = [] if unstorable(username) else list(held.filter(user__username=username).select_related("user"))
    if not mine:
        message = _("{name} does not judge in this campaign.").format(name=repr(username))
        raise Invalid(message, {"username": [message]})
    before = any(one.held_back_at for one in mine)
    if before == held_back:
        return
    since = timezone.now() if held_back else None
    Membership.objects.filter(pk__in=[one.pk for one in mine]).update(held_back_at=since)
    if held_back:
        hand_back(campaign=campaign, user=mine[0].user)
    action = "member.held_back" if held_back else "member.let_go_on"
    events.record(campaign=campaign, actor=actor, action=action, target=username)


def is_held_back(user: User, campaign: Campaign) -> bool:
    """Return whether the lead lets this person judge nothing more here for now; for who did not come by a gate."""
    return Membership.objects.filter(user=user, campaign=campaign, held_back_at__isnull=False).exists()


@transaction.atomic
def remove(*, campaign: Campaign, username: str, actor: User, role: Role | str | None = None) -> None:
    """Take a role from a person, or all of them. Their judgements stay; what they hold goes back to the queue."""
    locked = lock(campaign)  # orders this against another removal, so that one lead always stays
    held = Membership.objects.filter(campaign=locked, user__username=username).select_related("user")
    known = not unstorable(username)
    leaving = [membership for membership in held if role is None or membership.role == role] if known else []
    if not leaving:
        message = _("{name} has no such role in this campaign.").format(name=repr(username))
        raise Invalid(message, {"username": [message]})
    others = locked.memberships.filter(role=Role.LEAD).exclude(user=leaving[0].user)
    if any(membership.role == Role.LEAD for membership in leaving) and not others.exists():
        message = _("This is the campaign's only lead; make somebody else a lead first.")
        raise Invalid(message, {"username": [message]})
    user = leaving[0].user
    for membership in leaving:
        events.record(
            campaign=locked,
            actor=actor,
            action="member.removed",
            target=user.username,
            detail={"role": membership.role},
        )
        membership.delete()
    if not locked.memberships.filter(user=user, role__in=roles_for(Action.JUDGE)).exists():
        hand_back(campaign=locked, user=user)
