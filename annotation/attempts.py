"""Failed attempts to sign in: after so many, nobody gets in under that name from that address for a while."""

from __future__ import annotations

import hashlib
from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils.translation import gettext as _
from rest_framework.throttling import BaseThrottle

from annotation import counting
from annotation.models import User
from annotation.services import events

WINDOW = 15 * 60
# Under one name from one address; under one name from everywhere, which only a crowd of machines reaches, and which
# therefore is high enough that nobody can easily lock somebody else out; from one address under whatever names.
TOGETHER, NAME, ADDRESS = 10, 100, 60


def address_of(request: Any) -> str:
    """Return where a request comes from, past as many proxies as the settings say there are."""
    return BaseThrottle().get_ident(request)


def is_locked(username: str, request: Any) -> bool:
    """Return whether attempts under this name, from where the request comes, are refused at present."""
    return any(counting.so_far(key, window=WINDOW) >= most for key, most in _keys(username, request))


def locked_message() -> str:
    return _("Too many attempts to sign in failed. Wait a quarter of an hour, then try again.")


class LockingBackend(ModelBackend):
    """Django's own check of name and password, which is not even asked while the door is locked."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **more: Any
    ) -> User | None:
        name = username if username is not None else str(more.get(User.USERNAME_FIELD, ""))
        if request is not None and is_locked(name, request):
            raise PermissionDenied
        return super().authenticate(request, username=username, password=password, **more)  # type: ignore[return-value]


def count_failure(sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **_more: Any) -> None:
    """Count a failed attempt; the one that locks the door leaves an event."""
    if request is None:
        return
    username = str(credentials.get("username", ""))
    for key, most in _keys(username, request):
        if counting.more(key, window=WINDOW) == most:
            user = User.objects.filter(username=username[:150].replace("\x00", "")).first()
            detail = {"address": address_of(request), "failures": most}
            target = "" if user is None else user.username
            events.record(campaign=None, actor=None, action="account.locked", target=target, detail=detail)


def forget_failures(sender: Any, request: HttpRequest | None, user: User, **_more: Any) -> None:
    """Count this person's attempts from here from nothing again: they got in."""
    if request is not None:
        counting.forget(_keys(user.username, request)[0][0], window=WINDOW)


def connect() -> None:
    user_login_failed.connect(count_failure, dispatch_uid="annotation.attempts")
    user_logged_in.connect(forget_failures, dispatch_uid="annotation.attempts")


def _keys(username: str, request: Any) -> list[tuple[str, int]]:
    """Return what is counted, each with how many are too many. Names are hashed: they may hold anything."""
    name = hashlib.sha256(username.casefold().encode(errors="surrogatepass")).hexdigest()[:32]
    address = address_of(request)
    return [
        (f"sign-in:{name}:{address}", TOGETHER),
        (f"sign-in:{name}", NAME),
        (f"sign-in-from:{address}", ADDRESS),
    ]
