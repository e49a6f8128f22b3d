"""How views answer: a whole page, or the part of it that a script asked for."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.http import url_has_allowed_host_and_scheme
from django_htmx.middleware import HtmxDetails

from annotation.models import User


class SignedInRequest(HttpRequest):
    """A request as views behind `decorators.signed_in` see it; for annotations only, never instantiated."""

    user: User  # type: ignore[assignment]
    htmx: HtmxDetails


def page(
    request: HttpRequest, template: str, context: dict[str, Any], *, fragment: str | None = None, status: int = 200
) -> HttpResponse:
    """Return `template`, or only `fragment` if a script asked for part of the page (header ``HX-Request: true``).

    A template and its fragment get the same context, so the page must include the fragment.
    """
    partial = fragment is not None and wants_fragment(request)
    response = render(request, fragment if partial and fragment else template, context, status=status)
    # The same address gives two bodies; without this the back button may show the fragment as a page.
    response.headers["Vary"] = ", ".join(filter(None, [response.headers.get("Vary", ""), "HX-Request"]))
    if partial:
        response.headers["Cache-Control"] = "no-store"
    return response


def wants_fragment(request: HttpRequest) -> bool:
    """Return whether a script, htmx or ours, sent this request and will swap the answer into its page."""
    return bool(request.htmx) and not request.htmx.history_restore_request  # type: ignore[attr-defined]


def came_from(request: HttpRequest) -> str:
    """Return the path of our page on which this request began; nothing where the browser does not tell."""
    page = request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(page, {request.get_host()}, require_https=request.is_secure()):
        return ""
    return urlsplit(page)._replace(scheme="", netloc="", fragment="").geturl()


def say(request: HttpRequest, text: str | Promise, *, level: int = messages.SUCCESS) -> None:
    """Queue one sentence for the top of the next page."""
    messages.add_message(request, level, str(text))


def complain(request: HttpRequest, error: Exception) -> None:
    """Queue what an error of the services says; their messages are whole sentences meant for people."""
    messages.add_message(request, messages.ERROR, str(error))
