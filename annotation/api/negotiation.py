"""Which form an answer has: without a wish that is JSON, and nothing needs to be weighed."""

from __future__ import annotations

from collections.abc import Iterable

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class Negotiation(DefaultContentNegotiation):
    """Weighs what a caller accepts only where they accept not everything; that took a twentieth of each request."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        asks_for_none = format_suffix is None and not request.META.get("QUERY_STRING")
        if asks_for_none and request.META.get("HTTP_ACCEPT", "*/*") == "*/*":
            first = next(iter(renderers))
            return first, first.media_type or ""
        return super().select_renderer(request, renderers, format_suffix)
