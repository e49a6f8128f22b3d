"""What people see when something beneath us fails: disk, clock, broker, database, memory, a row that is poison.

`python -m tests.faults` kills the parts at random; here each fault comes alone, and it is looked at what is said of it.
Memory is full in `tests/walks/test_reward_model.py`, where a run is a real one.
"""

from __future__ import annotations

import errno
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from celery import current_app
from django.core.files.storage import FileSystemStorage
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotation.models import Feedback, Task
from annotation.services import queue
from annotation.told import told
from tests.factories import judge, make_assignment
from tests.frontend.lead_world import World, judge_all, make_world, start_run
from tests.training.workers import toy
from training import paths
from training.errors import RunLost
from training.models import Run
from training.services import execution, recovery, runs

LOST = "Nothing that was acknowledged is lost."


@pytest.fixture
def world(db: None) -> World:
    return make_world()


def quiet(client: Client) -> Client:
    """Let errors become answers, as they do in a web server."""
    client.raise_request_exception = False
    return client


@contextmanager
def database_gone() -> Iterator[None]:
    """Move the database to where there is none: whoever asks it meets the driver's own error."""
    place = "NAME" if connection.vendor == "sqlite" else "HOST"
    before = connection.settings_dict[place]
    connection.close()
    connection.settings_dict[place] = "/nowhere/at/all"
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict[place] = before


@pytest.mark.django_db(transaction=True)
def test_database_gone_pages_and_programs_are_told_and_the_same_submit_is_stored_once() -> None:
    world = make_world()
    client = quiet(world.client("annotator"))
    assignment = make_assignment(world.annotator, world.campaign)
    address = reverse("work", args=[world.campaign.pk])
    sent = {"assignment": assignment.key, "preference": "2", "client_key": "k"}
    with database_gone():
        for answer in (client.get(address), client.post(address, sent)):
            assert answer.status_code == 503 and answer["Retry-After"] == "5"
            page = answer.content.decode()
            assert "The database does not answer" in page and LOST in page and "Traceback" not in page
        said = client.post(f"/api/assignments/{assignment.key}/submit/", sent)
        assert said.status_code == 503 and LOST in said.json()["detail"]
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 503
    for _ in range(2):
        assert client.post(address, sent).status_code == 302
    assert Feedback.objects.count() == 1


def test_disk_full_an_upload_is_refused_in_a_sentence_and_judging_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is imitated at its outer edge: the storage's own write ends with the error of a real one."""

    def full(*_: Any, **__: Any) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FileSystemStorage, "_save", full)
    client = quiet(world.client("lead"))
    file = io.BytesIO(b'{"prompt": "What?", "completions": ["a", "b"]}\n')
    file.name = "rows.jsonl"
    page = client.post(reverse("campaign-import", args=[world.campaign.pk]), {"file": file, "preview": "1"})
    assert page.status_code == 507, page.content
    assert "disk is full" in page.content.decode() and "make room" in page.content.decode()
    address = f"/api/campaigns/{world.campaign.pk}/upload/?name=a&size=3&at=0"
    said = client.put(address, b"abc", content_type="application/octet-stream")
    assert said.status_code == 507 and "was not stored" in said.json()["detail"]
    judge_all(world)
    assert Feedback.objects.count() == 6


def test_disk_full_a_run_says_so_on_its_page_and_can_be_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child's folder cannot be made; the run is for a person to look at, not for the next attempt."""
    judge_all(world)
    run = start_run(world)
    whole = type(paths.files()).mkdir
    reason = OSError(errno.ENOSPC, "No space left on device", str(paths.run_folder(run.pk)))

    def full(self: Any, *given: Any, **options: Any) -> None:
        if self == paths.run_folder(run.pk):
            raise reason
        whole(self, *given, **options)

    with monkeypatch.context() as patched:
        patched.setattr(type(paths.files()), "mkdir", full)
        execution.execute(run.pk, command=toy())
    page = world.client("lead").get(reverse("run", args=[run.pk])).content.decode()
    assert "No space left on device" in page and "The run could not be started" in page
    runs.retry(run=Run.objects.get(pk=run.pk), actor=world.lead)
    assert execution.execute(run.pk, command=toy()).state == Run.State.SUCCEEDED


@pytest.mark.parametrize("days", [400, -400])
def test_clock_jump_costs_no_judgement_and_no_run(world: World, days: int) -> None:
    """Forwards, all leases and heartbeats are over at once; backwards, they lie in the future."""
    judge(world.annotator, world.campaign)
    run = start_run(world)
    assignment = make_assignment(world.annotator, world.campaign)
    held = runs.claim(run.pk, runs.claim_name())
    assert held is not None
    with time_machine.travel(timezone.now() + timedelta(days=days), tick=True):
        queue.expire_leases()
        client = world.client("annotator")
        client.force_login(world.annotator)  # the session too is of another time
        sent = {"assignment": assignment.key, "preference": "2", "client_key": "k"}
        assert client.post(reverse("work", args=[world.campaign.pk]), sent).status_code == 302
        judged = Feedback.objects.get(assignment=assignment)
        assert judged.seconds is None or judged.seconds >= 0
        taken = recovery.recover_lost()
        assert taken == (days > 0)
        if taken:  # its worker was only thought dead: it lets go, and another brings the run to its end
            with pytest.raises(RunLost):
                runs.beat(held)
        else:
            assert runs.beat(held)
            runs.requeue(held, reason=told("Its worker was lost."), counts=False)
        assert execution.execute(run.pk, command=toy()).state == Run.State.SUCCEEDED
    task = Task.objects.get(pk=assignment.task_id)
    assert (task.done, task.seats) == (1, task.wanted - 1)


def test_broker_gone_people_judge_and_a_run_waits_in_its_row(
    world: World, django_capture_on_commit_callbacks: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(current_app.conf, "broker_url", "redis://127.0.0.1:1/0")
    monkeypatch.setattr(current_app.conf, "broker_write_url", "redis://127.0.0.1:1/0")
    with django_capture_on_commit_callbacks(execute=True):
        judge_all(world)
        run = start_run(world)
    assert Feedback.objects.count() == 6
    page = world.client("lead").get(reverse("run", args=[run.pk]))
    assert page.status_code == 200 and "Queued" in page.content.decode()
    monkeypatch.undo()
    Run.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    recovery.recover_lost()  # the beat wakes a worker for it
    run.refresh_from_db()
    assert run.heartbeat_at is not None and run.heartbeat_at > timezone.now() - timedelta(minutes=1)


def test_poisoned_row_costs_itself_and_says_its_number_and_why(world: World) -> None:
    """What no database, no parser or no screen can take stands between two good rows."""
    good = {"prompt": "What?", "completions": ["a", "b"]}
    poison = [
        '{"id": "nul", "prompt": "a\\u0000b", "completions": ["a", "b"]}',
        '{"id": "half", "prompt": "\\ud800", "completions": ["a", "b"]}',
        '{"id": "deep", "prompt": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"id": "nan", "prompt": "What?", "completions": ["a", "b"], "priority": NaN}',
        '{"id": "huge", "prompt": "' + "x" * 4_100_000 + '", "completions": ["a", "b"]}',
        '{"id": "cut", "prompt": "Wh',
    ]
    lines = [json.dumps({**good, "id": "first"}), *poison, json.dumps({**good, "id": "last"})]
    client = quiet(world.client("lead"))
    address = f"/api/campaigns/{world.campaign.pk}/import/"
    answer = client.post(address, "\n".join(lines), content_type="application/x-ndjson")
    report = answer.json()
    assert answer.status_code == 207, report
    assert report["created"] == 2 and report["failed"] == len(poison), report["errors"]
    assert [error["line"] for error in report["errors"]] == [2, 3, 4, 5, 6, 7]
    assert all(error["reason"].endswith(".") for error in report["errors"])
    assert Task.objects.filter(external_id__in=["first", "last"]).count() == 2
