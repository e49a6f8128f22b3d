"""Middleware: gives each request a name, which its log lines, its answer and the tasks it starts carry."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.signals import request_finished
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse

from annotation import logs

HEADER = "X-Request-ID"
log = logging.getLogger("attune.requests")


class Named:
    """Takes the name from the header `X-Request-ID`, or makes one, and answers with it. No SQL.

    With `LOG_REQUESTS` each request is a line: method, page, status, milliseconds until the answer began.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        begun = time.perf_counter()
        name = logs.request_name(request.headers.get(HEADER, ""))
        logs.begin(request=name)
        response = self.get_response(request)
        response.headers[HEADER] = name
        if settings.ATTUNE_LOG_REQUESTS:
            took = (time.perf_counter() - begun) * 1000
            log.info("%s %s %s %.0f ms", request.method, logs.address(request), response.status_code, took)
        return response


@receiver(request_finished, dispatch_uid="frontend.forget_request")
def forget(**_: Any) -> None:
    """Let go of the name once the whole answer is sent: a stream is made after the middleware has returned."""
    logs.end()
