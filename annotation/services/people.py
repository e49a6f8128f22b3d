"""The people of a campaign as their lead knows them: accounts made for them, and what they can do."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from annotation.errors import Invalid
from annotation.models import Campaign, Membership, Role, User
from annotation.routing import read_tags
from annotation.services import events
from annotation.storable import unstorable

# Nothing that is misread when it is copied from a screen: no 0/o, no 1/l/i.
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
GROUPS, GROUP_LENGTH = 4, 4


class NewAccount(NamedTuple):
    user: User
    password: str  # known only here; the database keeps a hash


@transaction.atomic
def create_annotator(*, campaign: Campaign, username: str, actor: User) -> NewAccount:
    """Return a new account with its password, as an annotator of `campaign`; raises `Invalid`."""
    password = new_password()
    user = User(username=User.normalize_username(username.strip()))
    user.set_password(password)
    try:
        user.full_clean(exclude=["password"])
    except ValidationError as error:
        texts = [text for messages in error.message_dict.values() for text in messages]
        if any(one.code == "unique" for one in error.error_dict.get("username", [])):
            told = _("There is an account called {name} already; add it above instead.")
            texts = [told.format(name=user.username)]
        raise Invalid(" ".join(texts), {"username": texts}) from None
    user.save(force_insert=True)
    Membership.objects.create(campaign=campaign, user=user, role=Role.ANNOTATOR)
    events.record(campaign=campaign, actor=actor, action="account.created", target=user.username)
    return NewAccount(user, password)


@transaction.atomic
def set_skills(*, campaign: Campaign, username: str, skills: Sequence[str] | str, actor: User) -> list[str]:
    """Return the skills as stored, which this person has from now on in all their roles here; raises `Invalid`.

    Items that need others are not handed to them any more; what they hold they may still judge.
    """
    try:
        tags = read_tags(skills)
    except Invalid as error:
        raise Invalid(str(error), {"skills": [str(error)]}) from None
    held = Membership.objects.select_for_update(no_key=True).filter(campaign=campaign)
    mine = [] if unstorable(username) else list(held.filter(user__username=username))
    if not mine:
        message = _("{name} has no role in this campaign.").format(name=repr(username))
        raise Invalid(message, {"username": [message]})
    if any(one.skills != tags for one in mine):
        Membership.objects.filter(pk__in=[one.pk for one in mine]).update(skills=tags)
        changes = {"skills": (mine[0].skills, tags)}
        events.record(campaign=campaign, actor=actor, action="member.skills", target=username, changes=changes)
    return tags


def new_password() -> str:
    """Return a password that can be read aloud: four groups of four, about 78 bits."""
    groups = ("".join(secrets.choice(ALPHABET) for _letter in range(GROUP_LENGTH)) for _group in range(GROUPS))
    return "-".join(groups)
