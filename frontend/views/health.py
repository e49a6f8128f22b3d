"""What a load balancer or a container asks. Neither view looks at cookies, sessions or people."""

from __future__ import annotations

import kombu.exceptions
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from training.celery import app as celery


@require_safe
@never_cache
def alive(request: HttpRequest) -> HttpResponse:
    """Answer as long as the process can answer at all."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
@never_cache
def ready(request: HttpRequest) -> JsonResponse:
    """Say whether requests can be served: 503 without the database; judging goes on without the broker."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        database = True
    except DatabaseError:
        database = False
    try:
        with celery.connection_for_write() as broker:
            broker.ensure_connection(max_retries=1, interval_start=0.1, timeout=1)
        answers = True
    except (OSError, kombu.exceptions.OperationalError):
        answers = False
    state = {True: "ok", False: "does not answer"}
    return JsonResponse({"database": state[database], "broker": state[answers]}, status=200 if database else 503)
