"""Fragments that a page asks for again and again, and how it learns to stop."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

# htmx stops polling at this status and still swaps the body.
STOP_POLLING = 286


def fragment_or_stop(request: HttpRequest, template: str, context: dict[str, Any], *, more: bool) -> HttpResponse:
    """Return a polled fragment; unless there will be `more`, with the status that ends the polling."""
    response = render(request, template, context, status=200 if more else STOP_POLLING)
    response.headers["Cache-Control"] = "no-store"
    return response
