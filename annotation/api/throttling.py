"""How many requests a minute one person, or one address without a person, may send."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from rest_framework.throttling import BaseThrottle

from annotation import counting

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView

WINDOW = 60
# By the name of the address; everything else is "read" or "write" by its method.
BY_NAME = {
    **dict.fromkeys(["api-next", "api-submit", "api-skip", "api-draft"], "judge"),
    **dict.fromkeys(["api-export", "api-import", "api-upload"], "transfer"),
    "api-token": "token",
}


def rate_name(request: Request) -> str:
    """Return which of `settings.ATTUNE_RATES` a request counts against."""
    match = request.resolver_match  # type: ignore[attr-defined]
    named = BY_NAME.get((match.url_name if match is not None else None) or "")
    return named or ("read" if request.method in ("GET", "HEAD", "OPTIONS") else "write")


class RateLimit(BaseThrottle):
    """A fixed window of a minute for each kind of request; costs no SQL."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        name = rate_name(request)
        most = settings.ATTUNE_RATES.get(name)
        if most is None:
            return True
        known = request.user is not None and request.user.is_authenticated and name != "token"
        who = f"user-{request.user.pk}" if known else f"address-{self.get_ident(request)}"
        return counting.more(f"rate:{name}:{who}", window=WINDOW) <= most

    def wait(self) -> float:
        return counting.seconds_left(WINDOW)
