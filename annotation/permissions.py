"""The gates: the only way by which a campaign or an assignment reaches a view. A stranger learns nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import NoReturn

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import BigIntegerField, CharField, Exists, OuterRef, QuerySet
from django.http import Http404
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation import routing
from annotation.access import SCOPE_OF, Action, allows, roles_for
from annotation.models import Assignment, Campaign, Image, Membership, Role, User
from annotation.prepared import Select

LARGEST_ID = 2**63 - 1
# So long who led a deleted campaign may bring it back.
KEPT = timedelta(days=30)
# To submit needs none of these, and the texts of an item are most of what it holds; they are read when asked for.
NOT_TO_SUBMIT = tuple(f"campaign__{name}" for name in ("created_at", "description", "tags", "requires", "about"))
_LARGE = ("task__content", "task__meta", "task__created_at", *NOT_TO_SUBMIT)
# Asked with every request of an annotator, so their SQL is written once.
_MEMBERSHIPS = Select(
    lambda user, campaign: (
        Membership.objects.filter(user=user, campaign=campaign, campaign__deleted_at=None)
        .select_related("campaign")
        .defer("created_at", "campaign__created_at")
    ),
    user=BigIntegerField(),
    campaign=BigIntegerField(),
)
_ANY_ASSIGNMENT = Select(
    lambda key, user: (
        Assignment.objects.filter(key=key, user=user, campaign__deleted_at=None)
        .select_related("task", "campaign")
        .defer(*_LARGE)
    ),
    key=CharField(),
    user=BigIntegerField(),
)
_ASSIGNMENT = Select(
    lambda key, user: (
        Assignment.objects.filter(key=key, user=user, campaign__deleted_at=None)
        .filter(
            Exists(
                Membership.objects.filter(
                    user=user, campaign=OuterRef("campaign"), role__in=sorted(roles_for(Action.JUDGE))
                )
            )
        )
        .select_related("task", "campaign")
        .defer(*_LARGE)
    ),
    key=CharField(),
    user=BigIntegerField(),
)


def roles_in(user: User | AnonymousUser, campaign: Campaign) -> set[Role]:
    """Return every role that `user` effectively has there: a lead and a superuser have all."""
    if not user.is_authenticated:
        return set()
    if user.is_superuser:
        return set(Role)
    return _implied(Role(role) for role in campaign.memberships.filter(user=user).values_list("role", flat=True))


def may(user: User | AnonymousUser, campaign: Campaign, action: Action) -> bool:
    """Return whether `user` may do this in the campaign, as the table says. One SQL statement, none for an admin."""
    if not user.is_authenticated or not _in_scope(user, action):
        return False
    return user.is_superuser or campaign.memberships.filter(user=user, role__in=roles_for(action)).exists()


def administers(user: User | AnonymousUser) -> bool:
    """Return whether this person runs the server, and the token they came with, if any, may be used for that."""
    return user.is_authenticated and user.is_superuser and _in_scope(user, Action.ADMINISTER)


def may_create(user: User | AnonymousUser) -> bool:
    """Return whether this person may start a campaign: staff, and whoever leads one already."""
    if not user.is_authenticated or not _in_scope(user, Action.CONFIGURE):
        return False
    return user.is_superuser or user.is_staff or user.memberships.filter(role=Role.LEAD).exists()


def turn_away(user: User | AnonymousUser, reason: str) -> NoReturn:
    """Raise PermissionDenied with the reason, or Http404 for somebody without a role in any campaign."""
    if user.is_authenticated and (user.is_superuser or user.memberships.exists()):
        raise PermissionDenied(reason)
    raise Http404(_("There is nothing here."))


def campaign_for(user: User | AnonymousUser, campaign_id: int, *needs: Action | Role) -> Campaign:
    """Return the campaign if `user` may do one of `needs` there, or has one of these roles; a lead has all roles.

    Who may do what is in `annotation.access`. Without `needs` any role will do.

    Raises Http404 for strangers, so that they cannot find out what exists, and PermissionDenied for a member whose
    role does not suffice. One SQL statement. `campaign.agreed` tells whether this person may be given items yet,
    `campaign.held_back` whether the lead wants no more for now, and `campaign.barred` which items are not for them.
    """
    if not user.is_authenticated:
        raise Http404(_("There is no such campaign."))
    if user.is_superuser:
        campaign = Campaign.objects.kept().filter(pk=campaign_id).first()
        if campaign is None:
            raise Http404(_("There is no such campaign."))
        _refuse_outside_scope(user, needs)
        return campaign
    # An address may carry a number that no database has room for.
    memberships = _MEMBERSHIPS.all(user=user.pk, campaign=campaign_id) if campaign_id <= LARGEST_ID else []
    if not memberships:
        raise Http404(_("There is no such campaign."))
    held = {Role(membership.role) for membership in memberships}
    if needs and not any(_suffices(held, need) for need in needs):
        sufficing = {role for need in needs for role in (roles_for(need) if isinstance(need, Action) else (need,))}
        wanted = _(" or ").join(f"“{role.label}”" for role in Role if role in sufficing)
        raise PermissionDenied(_("This needs the role {roles} in the campaign; ask its lead.").format(roles=wanted))
    if user.scopes is not None:
        _refuse_outside_scope(user, [need for need in needs if _suffices(held, need)])
    campaign = memberships[0].campaign
    _enter(campaign, memberships)
    return campaign


def deleted_campaigns(user: User | AnonymousUser) -> QuerySet[Campaign]:
    """Return the deleted campaigns that this person may bring back, those deleted last first.

    That is whoever led them, for `KEPT` after the deletion, and an admin at any time.
    """
    if not user.is_authenticated or not _in_scope(user, Action.CONFIGURE):
        return Campaign.objects.none()
    deleted = Campaign.objects.filter(deleted_at__isnull=False).order_by("-deleted_at")
    if user.is_superuser:
        return deleted
    led = Membership.objects.filter(user=user, campaign=OuterRef("pk"), role__in=sorted(roles_for(Action.CONFIGURE)))
    return deleted.filter(Exists(led), deleted_at__gte=timezone.now() - KEPT)


def deleted_campaign_for(user: User | AnonymousUser, campaign_id: int) -> Campaign:
    """Return a deleted campaign that this person may bring back; Http404 for everybody else."""
    campaign = deleted_campaigns(user).filter(pk=min(campaign_id, LARGEST_ID)).first()
    if campaign is None:
        raise Http404(_("There is no such campaign."))
    return campaign


def enter(user: User, campaigns: Iterable[Campaign]) -> dict[int, list[Membership]]:
    """Set on each campaign what `campaign_for` sets, and return the person's memberships by campaign. One statement."""
    held: dict[int, list[Membership]] = {}
    for membership in Membership.objects.filter(user=user):
        held.setdefault(membership.campaign_id, []).append(membership)
    for campaign in campaigns:
        if campaign.pk in held:
            _enter(campaign, held[campaign.pk])
    return held


def assignment_for(user: User | AnonymousUser, key: str) -> Assignment:
    """Return this person's own assignment with its task and campaign; Http404 for anybody else's.

    A person who was taken out of the campaign has no assignments there any more.
    """
    if not user.is_authenticated or "\x00" in key:
        raise Http404(_("There is no such item."))
    assignment = (_ANY_ASSIGNMENT if user.is_superuser else _ASSIGNMENT).first(key=key, user=user.pk)
    if assignment is None:
        raise Http404(_("There is no such item."))
    _refuse_outside_scope(user, (Action.JUDGE,))
    return assignment


def _enter(campaign: Campaign, memberships: list[Membership]) -> None:
    """Set on the campaign what it is to the person of these memberships."""
    campaign.agreed = campaign.wellbeing == Campaign.Wellbeing.NONE or any(one.agreed_at for one in memberships)
    # Whoever leads a campaign knows its answers.
    qualifying = not campaign.test_tries or any(one.qualified_at or one.role == Role.LEAD for one in memberships)
    campaign.qualified = qualifying
    campaign.paused_at = max((one.paused_at for one in memberships if one.paused_at), default=None)
    campaign.warned_at = max((one.warned_at for one in memberships if one.warned_at), default=None)
    skills = {skill for one in memberships for skill in one.skills}
    campaign.held_back = any(one.held_back_at for one in memberships)
    campaign.returned = sum(one.returned for one in memberships)
    campaign.declined = tuple(sorted({category for one in memberships for category in one.declined}))
    if campaign.tags:
        campaign.barred = routing.barred(campaign.tags, skills=skills, declined=campaign.declined)


def image_for(user: User | AnonymousUser, campaign_id: int, sha256: str) -> Image:
    """Return an image of a campaign in which `user` has any role; Http404 for everybody else's and for none."""
    campaign = campaign_for(user, campaign_id)
    image = Image.objects.filter(campaign=campaign, sha256=sha256).first()
    if image is None:
        raise Http404(_("There is no such image."))
    return image


def _in_scope(user: User, need: Action | Role) -> bool:
    """Return whether the token of the request, if it came with one, was made for this."""
    if user.scopes is None or need is Action.SEE:
        return True
    # A bare role says nothing about what is done with it; only a token that may change things may do that.
    return (SCOPE_OF[need] if isinstance(need, Action) else "manage") in user.scopes


def _refuse_outside_scope(user: User, needs: Sequence[Action | Role]) -> None:
    if needs and not any(_in_scope(user, need) for need in needs):
        wanted = " or ".join(sorted({SCOPE_OF.get(need, "manage") for need in needs if isinstance(need, Action)}))
        told = _("The token is not for this: it lacks the scope {scope}; make another one.")
        raise PermissionDenied(told.format(scope=wanted or "manage"))


def _suffices(held: set[Role], need: Action | Role) -> bool:
    return allows(held, need) if isinstance(need, Action) else need in _implied(held)


def _implied(roles: Iterable[Role]) -> set[Role]:
    """Return `roles`, or all of them when one is the lead, who may do what everybody may."""
    held = set(roles)
    return set(Role) if Role.LEAD in held else held
