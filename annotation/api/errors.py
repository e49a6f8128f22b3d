"""How errors look over REST: ``{"detail": sentence, "errors": {field: [sentence, …]}}``, with a 4xx status."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import APIException, ValidationError
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler

from annotation.errors import AnnotationError


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the response for `error`; None lets Django report what nobody foresaw."""
    # Any app's family has a status; REST must not import the families of the apps above it.
    status = getattr(error, "status", None)
    if isinstance(error, AnnotationError) or (isinstance(status, int) and not isinstance(error, APIException)):
        return Response({"detail": str(error), "errors": getattr(error, "errors", {})}, status=status)
    response = drf_exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, ValidationError):
        errors = error.detail if isinstance(error.detail, dict) else {"non_field_errors": error.detail}
        response.data = {"detail": "Some values do not fit; see errors.", "errors": errors}
    else:
        response.data = {"detail": str(response.data.get("detail", error)), "errors": {}}
    return response
