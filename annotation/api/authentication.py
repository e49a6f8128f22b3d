"""Who is calling: a knox token in the ``Authorization`` header."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import CharField
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.plumbing import build_bearer_security_scheme_object
from knox.crypto import hash_token
from knox.models import AuthToken
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed

from annotation.models import TokenGrant
from annotation.prepared import Select

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema
    from rest_framework.request import Request

    from annotation.models import User

PREFIX = "Token"
_FORM = "The header must read: Authorization: Token <the token>."
NOTED_EVERY = timedelta(hours=1)
# Columns that no request asks for; making times of them costs as much as finding the row.
_UNUSED = ("created", "user__password", "user__last_login", "user__date_joined")
_TOKEN = Select(
    lambda digest: AuthToken.objects.select_related("user", "grant").defer(*_UNUSED).filter(digest=digest),
    digest=CharField(max_length=128),
)


class TokenAuthentication(BaseAuthentication):
    """Reads knox's tokens with one SQL statement.

    Knox's own class reads all tokens of the person on every request and fails with a server error on a header that
    is not UTF-8. The digest is the primary key, so it can be looked up directly: it is a hash of 256 random bits, and
    how long the look-up takes says nothing about any other token.
    """

    def authenticate(self, request: Request) -> tuple[User, AuthToken] | None:
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != PREFIX.lower().encode():
            return None
        if len(words) != 2:
            raise AuthenticationFailed(_FORM)
        try:
            given = words[1].decode("ascii")
        except ValueError:
            raise AuthenticationFailed(_FORM) from None
        token = _token_of(given)
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return PREFIX


def person_of(given: str) -> User:
    """Return who has this token, limited to what it is for; AuthenticationFailed when nobody has it any more."""
    return _token_of(given).user


def _token_of(given: str) -> AuthToken:
    try:
        digest = hash_token(given)
    except ValueError:
        raise AuthenticationFailed(_FORM) from None
    token = _TOKEN.first(digest=digest)
    if token is None or (token.expiry is not None and token.expiry < timezone.now()):
        raise AuthenticationFailed("This token is unknown or has expired; make a new one on your profile page.")
    if not token.user.is_active:
        raise AuthenticationFailed("This account is switched off; ask whoever runs this server.")
    _take_scopes(token)
    return token


def _take_scopes(token: AuthToken) -> None:
    """Limit what the request may do to what the token is for, and note once an hour that it is in use."""
    try:
        grant = token.grant
    except TokenGrant.DoesNotExist:
        return  # made by a program of the operator's with knox itself, which knows no scopes
    token.user.scopes = frozenset(grant.scopes)
    now = timezone.now()
    if grant.last_used_at is None or now - grant.last_used_at > NOTED_EVERY:
        TokenGrant.objects.filter(pk=grant.pk).update(last_used_at=now)


class TokenScheme(OpenApiAuthenticationExtension):
    target_class = "annotation.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return build_bearer_security_scheme_object(header_name="Authorization", token_prefix=PREFIX)
