"""What somebody typed is shown to them where it could not be taken, so that without a script too nothing is lost.

A script keeps what its form holds. A browser without one has only the answer to what it sent: where that is no page
that holds the form again, it is this one.
"""

from __future__ import annotations

import re

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render, resolve_url
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from frontend.http import came_from, wants_fragment

# What pages put into their forms themselves, and what must not stand on a screen.
_OWN = re.compile(r"password|token|secret|code|key$|^(assignment|behaviour|draft|active_seconds)$")
_TEXT = re.compile(r"(^|_)(message|comment|text|note|critique|reason|evidence|statement|passages)s?(_|$)|^written_")
_CHOICE = re.compile(r"[a-z0-9_.:+-]*")  # the value of a choice, a number or a date


def typed(request: HttpRequest) -> list[str]:
    """Return the texts that somebody typed into the form that this request sends, as they stood there."""
    if request.method != "POST" or wants_fragment(request):
        return []
    return [
        value
        for name, values in request.POST.lists()
        if not _OWN.search(name)
        for value in values
        if value.strip() and (_TEXT.search(name) or not _CHOICE.fullmatch(value))
    ]


def refused(request: HttpRequest, texts: list[str], reason: str, *, status: int) -> HttpResponse:
    """Return the page that shows what was typed beside why it was not taken."""
    context = {"reason": reason, "back": came_from(request) or resolve_url("home")}
    return _page(request, texts, context, status)


def signed_out(request: HttpRequest, texts: list[str]) -> HttpResponse:
    """Return the page that shows what was typed by somebody whose session has ended, and leads to the sign-in page."""
    told = _("You have been signed out. Sign in again to go on.")
    back = urlencode({"next": came_from(request) or request.path})
    context = {"reason": told, "login": f"{resolve_url('login')}?{back}"}
    return _page(request, texts, context, 401)


def _page(request: HttpRequest, texts: list[str], context: dict[str, str], status: int) -> HttpResponse:
    response = render(request, "errors/unsent.html", {**context, "texts": texts}, status=status)
    response.headers["Cache-Control"] = "no-store"
    return response
