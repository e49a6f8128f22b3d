"""Figures of a running server and its people: right numbers, for the right person, in the format that is asked for."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotation import hours, operations
from annotation.models import Task
from annotation.services import submission
from tests.factories import judge, make_assignment, make_task
from tests.frontend.lead_world import World, make_world, start_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    cache.clear()
    made = make_world(tasks=3)
    judge(made.annotator, made.campaign, active_seconds=90)
    judge(made.annotator, made.campaign, active_seconds=None)
    submission.skip(assignment=make_assignment(made.annotator, made.campaign), reason="unclear", note="")
    return made


def test_hours_are_summed_by_person_and_day(world: World, django_assert_num_queries: Any) -> None:
    today = timezone.localdate()
    with django_assert_num_queries(6):  # of them four for the sums
        (one,) = hours.by_day(world.campaign, today, today)
    assert (one.username, one.day, one.items, one.corrections, one.skipped) == ("amir", today, 2, 0, 1)
    assert (one.active_seconds, one.hours, one.unmeasured) == (90.0, 0.03, 1)
    assert hours.by_day(world.campaign, today - timedelta(days=9), today - timedelta(days=1)) == []
    others = [hours.Hours("b", "p", date(2026, 1, day), 1, active_seconds=1800) for day in (1, 2)]
    (total,) = hours.by_person(others)
    assert (total.items, total.hours, total.day) == (2, 1.0, None)


def test_the_page_of_hours_and_its_csv(world: World) -> None:
    where = reverse("campaign-hours", args=[world.campaign.pk])
    lead = world.client("lead")
    assert "amir" in lead.get(where).content.decode()
    rows = list(csv.DictReader(io.StringIO(lead.get(where, {"format": "csv"}).content.decode())))
    assert [(row["username"], row["items"], row["active_seconds"]) for row in rows] == [("amir", "2", "90.0")]
    for since, until, status in (("x", "", 422), ("9999-12-31", "9999-12-31", 200), ("2000-01-01", "2000-01-02", 200)):
        assert lead.get(where, {"since": since, "until": until}).status_code == status


def test_queues_and_volumes(world: World) -> None:
    for number, policy in enumerate(("policy-2", "policy-2", "policy-3")):
        make_task(world.campaign, external_id=f"new-{number}", meta={"round": 2, "policy": policy})
    Task.objects.filter(meta__policy="policy-3").update(created_at=timezone.now() - timedelta(hours=5))
    queue = operations.queue(world.campaign)
    assert (queue.open_items, queue.free_seats, queue.leases, queue.judgements) == (4, 4, 0, 2)
    assert queue.oldest_seconds is not None and 5 * 3600 <= queue.oldest_seconds < 5 * 3600 + 60
    found = [(one.round, one.policy, one.items, one.judgements) for one in operations.volumes(world.campaign)]
    assert found == [(2, "policy-2", 2, 0), (2, "policy-3", 1, 0), (None, "", 3, 2)]
    where = reverse("operations", args=[world.campaign.pk])
    html = world.client("engineer").get(where).content.decode()
    assert "policy-3" in html and 'hx-trigger="every' in html
    part = world.client("engineer").get(where, headers={"HX-Request": "true"}).content.decode()
    assert part.lstrip().startswith('<div class="stack" id="operations"')
    rows = list(csv.DictReader(io.StringIO(world.client("lead").get(where, {"format": "csv"}).content.decode())))
    assert [row["policy"] for row in rows] == ["policy-2", "policy-3", ""]


def test_prometheus_is_answered_to_who_has_the_token_only(world: World, settings: Any, monkeypatch: Any) -> None:
    assert Client().get("/metrics").status_code == 404
    settings.ATTUNE_METRICS_TOKEN = "a token"
    settings.ATTUNE_HOME = Path(settings.ATTUNE_FILES)
    for header in ("", "Bearer", "Bearer wrong", "Bearer a tokenä"):
        assert Client().get("/metrics", headers={"Authorization": header}).status_code == 404
    start_run(world)
    text = Client().get("/metrics", headers={"Authorization": "Bearer a token"}).content.decode()
    assert f'attune_queue_judgements{{campaign="{world.campaign.pk}"}} 2.0' in text
    assert 'attune_runs{kind="fit",state="queued"} 1.0' in text


COUNTS = """
import os, sys
os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.argv[1]
import django
django.setup()
from django.http import HttpResponse
from django.test import RequestFactory
from frontend.metrics import Latency
request = RequestFactory().get("/")
request.resolver_match = None
for _ in range(3):
    Latency(lambda request: HttpResponse())(request)
"""


def test_two_processes_count_as_one(tmp_path: Path) -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "frontend.settings", "ATTUNE_HOME": str(tmp_path)}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", COUNTS, str(tmp_path)], env=environment, check=True, timeout=120)
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(tmp_path))
    labels = {"page": "none", "method": "GET", "status": "2xx"}
    assert registry.get_sample_value("attune_request_seconds_count", labels) == 6
