"""Invitations: a link with a role, an end and a number of uses; taken by who has an account or makes one with it."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import NamedTuple

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation.errors import Invalid
from annotation.models import Campaign, Invitation, Membership, Role, User
from annotation.services import events

DAYS, MOST_DAYS, MOST_USES = 7, 365, 10_000


class NewInvitation(NamedTuple):
    invitation: Invitation
    secret: str  # known only here; the database keeps a hash


@transaction.atomic
def invite(
    *, campaign: Campaign, role: Role | str, actor: User, days: int = DAYS, most_uses: int = 1, email: str = ""
) -> NewInvitation:
    """Return a new invitation with the secret of its link; raises `Invalid`. Sending it is the caller's business."""
    errors: dict[str, list[str]] = {}
    if role not in Role.values:
        errors["role"] = [_("Give one of these roles: {roles}.").format(roles=", ".join(Role.values))]
    if not 1 <= days <= MOST_DAYS:
        errors["days"] = [_("Give a number of days from 1 to {most}.").format(most=MOST_DAYS)]
    if not 1 <= most_uses <= MOST_USES:
        errors["most_uses"] = [_("Give a number of people from 1 to {most}.").format(most=MOST_USES)]
    if email:
        try:
            validate_email(email)
        except ValidationError as error:
            errors["email"] = list(error.messages)
    if errors:
        raise Invalid(" ".join(text for texts in errors.values() for text in texts), errors)
    secret = secrets.token_urlsafe(32)
    invitation = Invitation.objects.create(
        campaign=campaign,
        role=Role(role),
        digest=_digest(secret),
        email=email,
        most_uses=most_uses,
        expires_at=timezone.now() + timedelta(days=days),
        created_by=actor,
    )
    detail = {"role": str(role), "most_uses": most_uses, "expires_at": invitation.expires_at.isoformat()}
    events.record(campaign=campaign, actor=actor, action="invitation.made", target=str(invitation), detail=detail)
    return NewInvitation(invitation, secret)


@transaction.atomic
def revoke(*, campaign: Campaign, invitation_id: int, actor: User) -> bool:
    """Make the link useless from now on and return whether there was such a one; who came by it stays."""
    changed = Invitation.objects.filter(campaign=campaign, pk=invitation_id, revoked_at=None).update(
        revoked_at=timezone.now()
    )
    if changed:
        target = f"invitation {invitation_id}"
        events.record(campaign=campaign, actor=actor, action="invitation.revoked", target=target)
    return bool(changed)


def find(secret: str) -> Invitation | None:
    """Return the invitation of a link while it may be used."""
    found = Invitation.objects.select_related("campaign").filter(digest=_digest(secret)).first()
    return found if found is not None and found.is_open else None


@transaction.atomic
def accept(*, secret: str, user: User) -> Membership:
    """Return the membership that the link gives; a person who has it already uses nothing up. Raises `Invalid`."""
    # Two people with the last use of one link: the second waits here, and finds it used up.
    found = Invitation.objects.select_for_update(of=("self",)).filter(digest=_digest(secret)).first()
    if found is None or not found.is_open:
        raise Invalid(_("This invitation has ended or was used already; ask for another one."))
    membership, created = Membership.objects.get_or_create(campaign=found.campaign, user=user, role=found.role)
    if created:
        found.uses += 1
        found.save(update_fields=["uses"])
        detail = {"role": found.role, "invitation": found.pk}
        events.record(campaign=found.campaign, actor=user, action="member.added", target=user.username, detail=detail)
    return membership


@transaction.atomic
def accept_with_new_account(*, secret: str, username: str, password: str) -> User:
    """Return a new account, a member of the campaign by the link; raises `Invalid` and then makes neither."""
    user = User(username=User.normalize_username(username.strip()))
    errors: dict[str, list[str]] = {}
    try:
        user.full_clean(exclude=["password"])
    except ValidationError as error:
        errors |= {"username": [text for texts in error.message_dict.values() for text in texts]}
    try:
        validate_password(password, user)
    except ValidationError as error:
        errors["password"] = list(error.messages)
    if errors:
        raise Invalid(" ".join(text for texts in errors.values() for text in texts), errors)
    if (invited := find(secret)) is not None:
        user.email = invited.email  # the link came to it, so it is theirs
    user.set_password(password)
    user.save(force_insert=True)
    accept(secret=secret, user=user)
    return user


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
