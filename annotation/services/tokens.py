"""API tokens: made with a name, scopes and an end; revoked by their owner."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from knox.models import AuthToken

from annotation.access import SCOPES
from annotation.errors import Invalid
from annotation.models import TokenGrant, User
from annotation.services import events
from annotation.storable import unstorable

# More live tokens than anyone needs; a script that leaks them is stopped here.
MOST_TOKENS = 20
DAYS, MOST_DAYS = 90, 3650


class NewToken(NamedTuple):
    grant: TokenGrant
    secret: str  # known only here; the database keeps a hash


@transaction.atomic
def make(*, user: User, name: str = "", scopes: Iterable[str] | None = None, days: int | None = DAYS) -> NewToken:
    """Return a new token with the scopes named (None: all of them) that ends after `days`, or never.

    Raises `Invalid` for unknown scopes, for none, and when this person has too many tokens already.
    """
    wanted = list(SCOPES) if scopes is None else [scope for scope in SCOPES if scope in set(scopes)]
    unknown = sorted(set(scopes or ()) - set(SCOPES))
    if unknown or not wanted:
        told = _("Give one or more of these scopes: {scopes}.").format(scopes=", ".join(SCOPES))
        raise Invalid(told, {"scopes": [told]})
    if days is not None and not 1 <= days <= MOST_DAYS:
        told = _("Give a number of days from 1 to {most}.").format(most=MOST_DAYS)
        raise Invalid(told, {"days": [told]})
    if reason := unstorable(name):
        raise Invalid(reason, {"name": [reason]})
    # Two that are made at the same time must not both be the last one allowed.
    User.objects.select_for_update(no_key=True).get(pk=user.pk)
    if AuthToken.objects.filter(user=user).count() >= MOST_TOKENS:
        text = ngettext(
            "You have {n} token. Revoke one that is not in use before making another.",
            "You have {n} tokens. Revoke one that is not in use before making another.",
            MOST_TOKENS,
        )
        raise Invalid(text.format(n=MOST_TOKENS))
    token, secret = AuthToken.objects.create(user=user, expiry=None if days is None else timedelta(days=days))
    grant = TokenGrant.objects.create(token=token, name=name.strip()[:80], scopes=wanted)
    detail = {"scopes": wanted, "expiry": token.expiry and token.expiry.isoformat()}
    events.record(campaign=None, actor=user, action="token.made", target=str(grant), detail=detail)
    return NewToken(grant, secret)


@transaction.atomic
def revoke(*, user: User, grant_id: int) -> bool:
    """Make one of this person's tokens useless from now on, and return whether there was such a one."""
    grant = TokenGrant.objects.filter(pk=grant_id, token__user=user).select_related("token").first()
    if grant is None:
        return False
    events.record(campaign=None, actor=user, action="token.revoked", target=str(grant))
    grant.token.delete()
    return True
