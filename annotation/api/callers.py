"""Who sent a request that has passed authentication."""

from __future__ import annotations

from rest_framework.request import Request

from annotation.models import User


def caller(request: Request) -> User:
    """Return the user; every view but the one that makes tokens asks for one before it runs."""
    if not isinstance(request.user, User):
        raise TypeError("This view must not be open to requests without a user.")
    return request.user
