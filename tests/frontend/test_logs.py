"""Lines of logs: whose they are, in which form, and what stands in none of them."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.app.trace import build_tracer
from django.contrib.auth.tokens import default_token_generator
from django.core import mail
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from kombu import Connection

from annotation import logs
from annotation.models import Campaign
from annotation.services import invitations
from tests.factories import make_campaign, make_user
from tests.training.workers import toy
from training.celery import app
from training.models import Run
from training.services import execution, runs, versions
from training.tasks import advance_rounds

ROOT = Path(__file__).resolve().parents[2]
WORDS = "zinnober heather lantern"


class Log:
    """What the root logger writes meanwhile."""

    def __init__(self, formatter: logging.Formatter) -> None:
        self.stream = io.StringIO()
        self.handler = logging.StreamHandler(self.stream)
        self.handler.setFormatter(formatter)
        self.handler.addFilter(logs.Expected())

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    def lines(self, logger: str = "") -> list[dict[str, Any]]:
        return [line for line in map(json.loads, self.text.splitlines()) if line["logger"].startswith(logger)]


@pytest.fixture
def log(settings: Any) -> Iterator[Log]:
    settings.ATTUNE_LOG_REQUESTS = True
    log = Log(logs.Lines())
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(log.handler)
    root.setLevel(logging.DEBUG)
    yield log
    root.removeHandler(log.handler)
    root.setLevel(level)


def test_a_request_has_a_name_that_its_answer_and_its_lines_carry(log: Log) -> None:
    client = Client()
    answer = client.get("/healthz", headers={"X-Request-ID": "proxy-7.a"})
    assert answer.headers["X-Request-ID"] == "proxy-7.a"
    (line,) = log.lines("attune.requests")
    assert (
        line["request"] == "proxy-7.a" and line["message"].startswith("GET /healthz 200 ") and line["level"] == "INFO"
    )
    assert line["time"].endswith("+00:00") and "run" not in line
    for unfit in ("", "x" * 65, "two words", "a\x1b[31m", "-x", "ä"):
        given = client.get("/nowhere/", headers={"X-Request-ID": unfit}).headers["X-Request-ID"]
        assert given != unfit and len(given) == 32
        assert log.lines("django.request")[-1]["request"] == given
    assert logs.current_request() == "", "the thread goes on to another request"


@pytest.mark.django_db
def test_a_page_that_somebody_may_not_see_is_a_line_without_a_traceback(log: Log) -> None:
    person = make_user("mina")
    campaign = make_campaign("Kind answers", lead=make_user("lena"), annotators=[person])
    client = Client()
    client.force_login(person)
    assert client.get(reverse("loop", args=[campaign.pk])).status_code == 403
    (line,) = log.lines("django.request")
    assert line["level"] == "WARNING" and "exception" not in line
    client.raise_request_exception = False
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("frontend.views.home.render", None)
        assert client.get("/").status_code == 500
    assert "TypeError" in log.lines("django.request")[-1]["exception"]


@pytest.mark.django_db(transaction=True)
def test_a_run_is_followed_from_the_request_to_the_workers_lines(log: Log) -> None:
    """By the row, and by the message's header: whichever message wakes the worker."""
    lead = make_user("lead")
    campaign = make_campaign(lead=lead)
    policy = versions.register(campaign=campaign, kind="policy", path="hub/name", actor=None)
    logs.begin(request="asked-1")
    run = runs.create(
        campaign=campaign, recipe="dpo", knobs={}, actor=lead, parent=policy, inputs={"data": "none.jsonl"}
    )
    with Connection("memory://") as broker:
        # A queue of its own: in memory all tests share the others, and what earlier ones sent lies there first.
        app.send_task(advance_rounds.name, connection=broker, queue="followed")
        message = broker.SimpleQueue("followed").get(timeout=5)
    logs.end()
    task = app.tasks[advance_rounds.name]
    build_tracer(task.name, task, app=app)(message.headers["id"], [], {}, request=message.headers)
    execution.execute(run.pk, command=toy(mode="explains"))
    taken, left = (line for line in log.lines("training.services.execution"))
    assert taken["request"] == left["request"] == "asked-1" and taken["run"] == left["run"] == str(run.pk)
    assert left["message"] == f"Lets go of run {run.pk}: failed."
    traced = [line for line in log.lines("celery.app.trace") if "succeeded" in line["message"]]
    assert traced[0]["request"] == "asked-1" and traced[0]["task"] == f"{task.name}[{message.headers['id']}]"
    assert Run.objects.get(pk=run.pk).request_name == "asked-1"


@pytest.mark.django_db
def test_a_token_in_an_address_is_in_no_line(log: Log, settings: Any) -> None:
    """Neither a link that works nor one that does not, nor one with something added that no page has."""
    user = make_user("ada", password="a long enough word")
    campaign = make_campaign(lead=user)
    secret = invitations.invite(campaign=campaign, actor=user, role="annotator").secret
    token = default_token_generator.make_token(user)
    link = f"/login/lost-password/{urlsafe_base64_encode(force_bytes(user.pk))}/{token}/"
    client = Client(raise_request_exception=False)
    for path in (f"/invitation/{secret}/", f"/invitation/{secret}x/", f"/invitation/{secret}/ä/", link, f"{link}more/"):
        client.get(path)
        client.delete(path)
        Client(enforce_csrf_checks=True).post(path)
    assert secret not in log.text and token not in log.text
    assert "/invitation/…/" in log.text and "/login/…" in log.text


@pytest.mark.django_db(transaction=True)
def test_what_a_database_tells_of_a_refused_row_is_in_no_line(log: Log) -> None:
    """PostgreSQL says "Failing row contains …", with the prompt."""
    campaign = make_campaign()
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            table = connection.ops.quote_name(Campaign._meta.db_table)
            cursor.execute(f"UPDATE {table} SET name = %s, state = NULL WHERE id = %s", [WORDS, campaign.pk])
    except IntegrityError as error:
        assert connection.vendor != "postgresql" or WORDS in str(error)
        logging.getLogger("celery.app.trace").error("Task t raised unexpected: %r", error, exc_info=True)
        logging.getLogger("x").error("Once more", exc_info=True)
    else:
        pytest.fail("The row was taken.")
    said = 'new row violates\nDETAIL:  Failing row contains (1, zinnober\nheather lantern).\n  File "x.py"'
    assert logs._ROW.sub("…", said) == 'new row violates\n…\n  File "x.py"'
    assert len(log.lines("x")) == 1 and "IntegrityError" in log.lines("x")[0]["exception"]
    assert WORDS not in log.text


def test_what_libraries_hand_over_beside_a_message_is_not_written(log: Log) -> None:
    logging.getLogger("celery.worker.strategy").info("Task %s received", "t", extra={"data": {"args": [WORDS]}})
    assert log.lines("celery.worker")[0].keys() == {"time", "level", "logger", "message"}
    assert WORDS not in log.text


def test_the_form_is_a_setting(tmp_path: Path) -> None:
    """JSON out of a fresh interpreter, and the plain form beside it."""
    program = (
        "import django; django.setup()\nimport logging\nfrom annotation import logs\n"
        "logs.begin(request='r1', run='5')\nroot = logging.getLogger()\n"
        "logging.getLogger('here').warning('Said %s.', 'so')\n"
        "root.handlers[0].setFormatter(logs.Plain())\nlogging.getLogger('here').warning('Said %s.', 'so')"
    )
    given = {"DJANGO_SETTINGS_MODULE": "frontend.settings", "ATTUNE_HOME": str(tmp_path), "LOG_FORMAT": "json"}
    asked = [sys.executable, "-c", program]
    written = subprocess.run(asked, env=os.environ | given, cwd=ROOT, capture_output=True, text=True).stderr
    json_line, plain = written.strip().splitlines()
    said = json.loads(json_line)
    assert (said["request"], said["run"], said["message"], said["level"]) == ("r1", "5", "Said so.", "WARNING")
    assert plain.endswith("WARNING here [request=r1 run=5] Said so.")


def test_without_a_mail_server_a_link_is_a_file_of_this_account_and_no_line(tmp_path: Path, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = tmp_path / "mail"
    assert mail.send_mail("s", "the link", None, ["ada@example.org"]) == 1
    assert "the link" in next((tmp_path / "mail").iterdir()).read_text()
