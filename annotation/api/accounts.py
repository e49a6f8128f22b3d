"""Tokens: made from a name and a password, given up by whoever holds them."""

from __future__ import annotations

from django.contrib.auth import authenticate
from drf_spectacular.utils import extend_schema
from knox.models import AuthToken
from rest_framework import status
from rest_framework.decorators import api_view, authentication_classes, permission_classes, throttle_classes
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from annotation.api.parsing import checked
from annotation.api.serializers import TokenIn, TokenOut


class TokenThrottle(SimpleRateThrottle):
    """Guessing passwords is slow: so many tries a minute from one address, whatever the name."""

    scope = "token"
    rate = "30/min"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return self.cache_format % {"scope": self.scope, "ident": self.get_ident(request)}


@extend_schema(
    operation_id="token_create", request=TokenIn, responses={201: TokenOut}, auth=[], tags=["authentication"]
)
@api_view(["POST"])
@authentication_classes([])
@permission_classes([])
@throttle_classes([TokenThrottle])
def create_token(request: Request) -> Response:
    """Return a new token for ``Authorization: Token …``. It is shown this once; only its hash is stored."""
    given = checked(TokenIn, request.data)
    user = authenticate(request, username=given["username"], password=given["password"])
    if user is None:
        raise ValidationError("No active account has this name and password.")
    token, secret = AuthToken.objects.create(user=user)
    return Response({"token": secret, "expiry": token.expiry}, status=status.HTTP_201_CREATED)


@extend_schema(operation_id="token_delete", request=None, responses={204: None}, tags=["authentication"])
@api_view(["POST"])
def delete_token(request: Request) -> Response:
    """Make the token this request came with useless from now on."""
    if not isinstance(request.auth, AuthToken):
        raise ValidationError("This request came without a token; a browser session ends on the sign-out page.")
    request.auth.delete()
    return Response(status=status.HTTP_204_NO_CONTENT)
