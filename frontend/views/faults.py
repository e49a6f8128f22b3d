"""What people and programs are told when a request fails for a reason that is nobody's mistake."""

from __future__ import annotations

import errno
import sys
from dataclasses import dataclass

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import loader
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy
from django.views.decorators.csrf import requires_csrf_token

RETRY_SECONDS = 5


@dataclass(frozen=True)
class Reason:
    status: int
    title: Promise
    told: Promise


AWAY = Reason(
    503,
    gettext_lazy("The database does not answer"),
    gettext_lazy(
        "Nothing that was acknowledged is lost. What you sent just now may not be stored: try again in a moment. While "
        "you judge, what you typed stays in this browser and is sent again by itself."
    ),
)
FULL = Reason(
    507,
    gettext_lazy("The server's disk is full"),
    gettext_lazy(
        "What you sent was not stored; nothing that was acknowledged before is lost. Tell whoever runs this server to "
        "make room, and try again then."
    ),
)
BROKE = Reason(
    500,
    gettext_lazy("Something broke on our side"),
    gettext_lazy(
        "The error was written to the server's log. Nothing that was acknowledged before is lost. Try again; if it "
        "happens twice, tell whoever runs this server what you were doing."
    ),
)


def reason_of(error: BaseException | None) -> Reason:
    """Return why a request failed, as far as somebody who waits for its answer can do something about it."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FULL
    if isinstance(error, OperationalError | InterfaceError):
        # SQLite says "database or disk is full", PostgreSQL "No space left on device".
        words = str(error).lower()
        return FULL if "disk is full" in words or "no space left" in words else AWAY
    return BROKE


@requires_csrf_token
def server_error(request: HttpRequest) -> HttpResponse:
    """Answer a request whose view raised what nobody foresaw: a page, or JSON below `/api/`.

    Neither asks the database for anything: it may be the reason.
    """
    reason = reason_of(sys.exc_info()[1])
    if request.path.startswith("/api/"):
        told = {"detail": f"{reason.title}. {reason.told}", "errors": {}}
        response: HttpResponse = JsonResponse(told, status=reason.status)
    else:
        page = loader.get_template("500.html").render({"reason": reason})
        response = HttpResponse(page, status=reason.status)
    if reason is AWAY:
        response["Retry-After"] = str(RETRY_SECONDS)
    return response
