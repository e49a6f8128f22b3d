"""Tokens: made from a name and a password, given up by whoever holds them."""

from __future__ import annotations

from django.contrib.auth import authenticate
from drf_spectacular.utils import extend_schema
from knox.models import AuthToken
from rest_framework import status
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.exceptions import NotFound, PermissionDenied, Throttled, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from annotation import attempts
from annotation.api.callers import caller
from annotation.api.parsing import checked
from annotation.api.serializers import OwnTokenOut, TokenIn, TokenOut
from annotation.errors import Invalid
from annotation.models import TokenGrant, User
from annotation.permissions import LARGEST_ID
from annotation.services import second_factor, tokens


@extend_schema(
    operation_id="token_create", request=TokenIn, responses={201: TokenOut}, auth=[], tags=["authentication"]
)
@api_view(["POST"])
@authentication_classes([])
@permission_classes([])
def create_token(request: Request) -> Response:
    """Return a new token for ``Authorization: Token …``. It is shown this once; only its hash is stored."""
    given = checked(TokenIn, request.data)
    username, password = given.pop("username"), given.pop("password")
    if attempts.is_locked(username, request):
        raise Throttled(detail=attempts.locked_message())
    user = authenticate(request, username=username, password=password)
    if not isinstance(user, User):
        raise Invalid("No active account has this name and password.")
    if second_factor.is_on(user):
        raise PermissionDenied("This account has a second factor; make the token on your profile page.")
    made = tokens.make(user=user, **given)
    body = {"token": made.secret, "expiry": made.grant.token.expiry, "scopes": made.grant.scopes}
    return Response(body, status=status.HTTP_201_CREATED)


@extend_schema(operation_id="token_delete", request=None, responses={204: None}, tags=["authentication"])
@api_view(["POST"])
def delete_token(request: Request) -> Response:
    """Make the token this request came with useless from now on."""
    if not isinstance(request.auth, AuthToken):
        raise ValidationError("This request came without a token; a browser session ends on the sign-out page.")
    request.auth.delete()
    return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(operation_id="token_list", responses=OwnTokenOut(many=True), tags=["authentication"])
@api_view(["GET"])
def own_tokens(request: Request) -> Response:
    """Return your tokens with what each is for and when it was last used, newest first."""
    found = TokenGrant.objects.filter(token__user=caller(request)).select_related("token").order_by("-id")
    return Response(OwnTokenOut(found, many=True).data)


@extend_schema(operation_id="token_revoke", request=None, responses={204: None}, tags=["authentication"])
@api_view(["DELETE"])
def revoke_token(request: Request, grant_id: int) -> Response:
    """Make one of your tokens useless from now on."""
    if grant_id > LARGEST_ID or not tokens.revoke(user=caller(request), grant_id=grant_id):
        raise NotFound("You have no such token.")
    return Response(status=status.HTTP_204_NO_CONTENT)
