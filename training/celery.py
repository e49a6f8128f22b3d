"""The Celery app: queue `default` for short work in the database, `gpu` for runs, `chat` for chats."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, Task
from celery.signals import before_task_publish, task_postrun, task_prerun

from annotation import logs

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "frontend.settings")

app = Celery("attune")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["annotation", "training"])

# Which request had a task sent: a header of the message, so that the worker's lines can be found from the answer's.
ASKED_BY = "attune_request"


@before_task_publish.connect
def say_who_asked(headers: dict[str, Any], **_: Any) -> None:
    """Send the name of the request along."""
    headers[ASKED_BY] = logs.current_request()


@task_prerun.connect
def begin_lines(task: Task, task_id: str, **_: Any) -> None:
    """Write the task, and the request that had it sent, into each line of it."""
    logs.begin(request=task.request.get(ASKED_BY) or "", task=f"{task.name}[{task_id}]")


@task_postrun.connect
def end_lines(**_: Any) -> None:
    """Let go of the names: the thread goes on to another task."""
    logs.end()
