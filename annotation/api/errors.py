"""How errors look over REST: ``{"detail": sentence, "errors": {field: [sentence, …]}}``, with a 4xx status."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import SuspiciousOperation
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.exceptions import APIException, NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler

from annotation.errors import AnnotationError


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the response for `error`; None lets Django report what nobody foresaw."""
    response = _answer(error, context)
    if response is not None:
        response.content_type = "application/json"  # also to those who asked for JSON Lines
    return response


def _answer(error: Exception, context: dict[str, Any]) -> Response | None:
    # Any app's family has a status; REST must not import the families of the apps above it.
    status = getattr(error, "status", None)
    if isinstance(error, AnnotationError) or (isinstance(status, int) and not isinstance(error, APIException)):
        return Response({"detail": str(error), "errors": getattr(error, "errors", {})}, status=status)
    if isinstance(error, SuspiciousOperation):  # Django refuses to read it, and would say so in HTML
        told = "This request cannot be read; it has more parameters than an address takes, or what no client sends."
        return Response({"detail": told, "errors": {}}, status=400)
    response = drf_exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, ValidationError):
        errors = error.detail if isinstance(error.detail, dict) else {"non_field_errors": error.detail}
        response.data = {"detail": "Some values do not fit; see errors.", "errors": errors}
    else:
        response.data = {"detail": str(response.data.get("detail", error)), "errors": {}}
    return response


@extend_schema(exclude=True)
@api_view(["GET", "POST", "PUT", "PATCH", "DELETE"])
@authentication_classes([])
@permission_classes([])
def no_such_address(request: Request, rest: str) -> Response:
    """Answer what no other address below `/api/` takes, in the shape of every other error."""
    raise NotFound("There is no such address; see /api/docs/. Every address ends with a slash.")
