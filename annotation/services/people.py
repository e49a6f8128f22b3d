"""Accounts that a lead makes for people who have none."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.db import transaction

from annotation.errors import Invalid
from annotation.models import Campaign, Membership, Role, User
from annotation.services import events

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
            texts = [f"There is an account called {user.username} already; add it above instead."]
        raise Invalid(" ".join(texts), {"username": texts}) from None
    user.save(force_insert=True)
    Membership.objects.create(campaign=campaign, user=user, role=Role.ANNOTATOR)
    events.record(campaign=campaign, actor=actor, action="account.created", target=user.username)
    return NewAccount(user, password)


def new_password() -> str:
    """Return a password that can be read aloud: four groups of four, about 78 bits."""
    groups = ("".join(secrets.choice(ALPHABET) for _ in range(GROUP_LENGTH)) for _ in range(GROUPS))
    return "-".join(groups)
