"""People who sign in at an identity provider, and the account each has here."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from annotation.errors import Invalid
from annotation.models import Identity, User
from annotation.services import events


@transaction.atomic
def account_for(*, claims: Mapping[str, Any], user: User | None, may_create: bool) -> User:
    """Return the account of whoever these verified claims are about.

    A known identity has its account. Another one is tied to `user`, who is signed in, else gets a new account without
    a password, if `may_create`. Accounts are never found by name or e-mail: whoever may choose those at the provider
    could take anybody's. Raises `Invalid`.
    """
    issuer, subject = str(claims["iss"]), str(claims["sub"])
    known = Identity.objects.select_related("user").filter(issuer=issuer, subject=subject).first()
    if known is not None:
        if user is not None and known.user_id != user.pk:
            raise Invalid(_("This identity belongs to another account here."))
        if not known.user.is_active:
            raise Invalid(_("This account is switched off; ask whoever runs this server."))
        return known.user
    if user is None:
        if not may_create:
            raise Invalid(
                _("You have no account here yet; ask for an invitation, then connect it on your profile page.")
            )
        user = User(username=_free_name(claims))
        user.set_unusable_password()
        user.save(force_insert=True)
        events.record(campaign=None, actor=user, action="account.created", target=user.username)
    Identity.objects.create(user=user, issuer=issuer, subject=subject)
    detail = {"issuer": issuer}
    events.record(campaign=None, actor=user, action="account.connected", target=user.username, detail=detail)
    return user


def _free_name(claims: Mapping[str, Any]) -> str:
    """Return a username that nobody has: what the provider calls this person, with a number where that is taken."""
    wanted = str(claims.get("preferred_username") or str(claims.get("email") or "").partition("@")[0])
    wanted = re.sub(r"[^\w.@+-]", "", wanted)[:100] or f"person-{secrets.token_hex(4)}"
    names = (wanted, *(f"{wanted}-{n}" for n in range(2, 50)), f"{wanted}-{secrets.token_hex(4)}")
    return next(name for name in names if not User.objects.filter(username__iexact=name).exists())
