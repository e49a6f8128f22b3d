"""A lead's pages on a campaign with a million judgements: what each costs, and what its figures would cost anew by SQL.

Half as many items as judgements, each judged by two of sixteen people, over ten rounds of two policies and thirty days.
"""

from __future__ import annotations

import http.client
import os
import statistics
import time
from typing import Any

from django.db import connection
from django.db.models import F

from annotation.models import Assignment, Block, Campaign, Feedback
from annotation.services import block_counts, quality
from tests.bench import measures
from tests.bench.servers import Web

# Path below the campaign's own page. Each is asked for once to warm up, and then so often.
JUST_COUNTED = "  while people judge"
PAGES = {
    "campaigns": "/campaigns/",
    "overview": "/campaigns/{pk}/",
    JUST_COUNTED: "/campaigns/{pk}/",
    "  its moving part": "/campaigns/{pk}/progress/",
    "operations": "/campaigns/{pk}/operations/",
    "policies": "/campaigns/{pk}/policies/",
    "people": "/campaigns/{pk}/people/",
    "hours": "/campaigns/{pk}/hours/?since=2020-01-01&until=2099-12-31",
    "quality": "/campaigns/{pk}/quality/",
    "review queue": "/campaigns/{pk}/reviews/",
    "export": "/campaigns/{pk}/export/",
    "data sets": "/campaigns/{pk}/snapshots/",
    "runs": "/campaigns/{pk}/runs/",
    "models": "/campaigns/{pk}/models/",
    "loop": "/campaigns/{pk}/loop/",
    "import": "/campaigns/{pk}/import/",
    "settings": "/campaigns/{pk}/edit/",
    "changes": "/campaigns/{pk}/audit/",
    "metrics over REST": "/api/campaigns/{pk}/metrics/",
    "progress over REST": "/api/campaigns/{pk}/progress/",
}
TIMES = 5
LIMIT_MS = 300
# The figures of the pages, counted anew. What stands beside each page in the table is the sum of those it shows.
ANEW = {
    "tally": """
        SELECT payload, shown_order, count(*) FROM annotation_feedback
        WHERE campaign_id = %s AND is_current GROUP BY 1, 2
    """,
    "people": """
        SELECT user_id, count(*), avg(seconds), avg(active_seconds), max(created_at) FROM annotation_feedback
        WHERE campaign_id = %s AND is_current GROUP BY 1
    """,
    "volumes": """
        SELECT meta->'round', meta->'policy', count(*), sum(done), sum(wanted), min(created_at) FROM annotation_task
        WHERE campaign_id = %s GROUP BY 1, 2
    """,
    "days": """
        SELECT user_id, date_trunc('day', created_at), count(*), sum(active_seconds) FROM annotation_feedback
        WHERE campaign_id = %s GROUP BY 1, 2
    """,
    "agreement": """
        SELECT t.meta->'round', t.meta->'policy', a.payload->'preference', b.payload->'preference', count(*)
        FROM annotation_feedback a JOIN annotation_feedback b ON b.task_id = a.task_id AND b.user_id > a.user_id
        JOIN annotation_task t ON t.id = a.task_id
        WHERE a.campaign_id = %s AND a.is_current AND b.is_current GROUP BY 1, 2, 3, 4
    """,
}
SHOWN = {
    "overview": ("tally", "people", "volumes", "agreement"),
    "  its moving part": ("people", "volumes"),
    "operations": ("volumes", "agreement"),
    "policies": ("volumes", "agreement"),
    "hours": ("days",),
    "metrics over REST": ("volumes", "agreement"),
    "progress over REST": ("people", "volumes"),
}


def fill(campaign: Campaign, source: Campaign, people: list[int], judgements: int) -> None:
    """Make half as many items, copies of those of `source`, and two judgements of each, by SQL."""
    measures.fill_with_copies(campaign, source, judgements // 2)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE annotation_task SET wanted = 2, done = 2, seats = 0, state = 'complete',"
            " batch = 'round-' || id %% 10,"
            " meta = jsonb_build_object('round', id %% 10, 'policy', 'policy-' || id %% 10,"
            " 'origins', jsonb_build_array('policy-' || id %% 10, 'policy-' || (id + 1) %% 10)),"
            " created_at = now() - interval '30 days' WHERE campaign_id = %s",
            [campaign.pk],
        )
    preference = "((made.task_id * 7 + made.user_id * 3) %% 7 - 3)"
    if len(people) != measures.PEOPLE:
        raise ValueError(f"The bench has {measures.PEOPLE} people.")
    for half in (0, 1):
        person = f"(ARRAY{people})[1 + (made.id + {half * 8}) %% {len(people)}]"
        key = f"'{half}-' || made.id"
        measures._copies(Assignment, source, "annotation_task", campaign, key=key, task_id="made.id", user_id=person)
    measures._copies(
        Feedback,
        source,
        "annotation_assignment",
        campaign,
        task_id="made.task_id",
        assignment_id="made.id",
        user_id="made.user_id",
        client_key="made.key",
        payload=f"jsonb_build_object('verdict', CASE WHEN {preference} = 0 THEN 'tie' ELSE 'prefer' END,"
        f" 'preference', {preference}, 'comment', '')",
        active_seconds="10 + made.id %% 50",
        created_at="now() - made.id %% 30 * interval '1 day'",
    )
    measures.tidy()


def measure(server: Web, campaign: Campaign, cookie: str) -> list[dict[str, Any]]:
    """Return for each page its name, the milliseconds it took, the most of them, and those of its figures by SQL."""
    started = time.perf_counter()
    blocks = block_counts.count_late(campaign=campaign)
    print(f"{blocks:,} blocks counted in {time.perf_counter() - started:.0f} s, as the background does")
    started = time.perf_counter()
    kept = quality.keep(campaign=campaign)
    print(f"{kept:,} blocks read for the quality report in {time.perf_counter() - started:.0f} s")
    report = quality.refresh(campaign=campaign)
    print(f"and the report of {report.figures['judgements']:,} judgements made in {report.seconds:.0f} s")
    anew = {name: _milliseconds(statement, campaign) for name, statement in ANEW.items()}
    rows = []
    for name, path in PAGES.items():
        is_new = name == JUST_COUNTED
        took = [_get(server, path.format(pk=campaign.pk), cookie)]
        before = server.cpu_seconds(), measures.database_cpu_seconds()
        for _ in range(TIMES):
            if is_new:
                _count_one_anew(campaign)
            took.append(_get(server, path.format(pk=campaign.pk), cookie))
        # What the page itself costs, whatever else the machine does meanwhile.
        web_cpu = (server.cpu_seconds() - before[0]) * 1e3 / TIMES
        database_cpu = (measures.database_cpu_seconds() - before[1]) * 1e3 / TIMES
        by_sql = sum(anew[part] for part in SHOWN.get(name, ()))
        rows.append(
            {
                "page": name,
                "first_ms": took[0],
                "ms": statistics.median(took[1:]),
                "most_ms": max(took[1:]),
                "web_cpu_ms": web_cpu,
                "database_cpu_ms": database_cpu,
                "load": os.getloadavg()[0],
                "anew_ms": by_sql,
            }
        )
    return rows


def _count_one_anew(campaign: Campaign) -> None:
    """Give a block another version, as the background does every few seconds while people judge."""
    some = Block.objects.filter(campaign=campaign).order_by("?").values_list("pk", flat=True)[:1]
    Block.objects.filter(pk__in=list(some)).update(version=F("version") + 1)
    block_counts.count_late(campaign=campaign)


def _get(server: Web, path: str, cookie: str) -> float:
    http_ = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    started = time.perf_counter()
    http_.request("GET", path, headers={"Cookie": cookie})
    response = http_.getresponse()
    body = response.read()
    took = (time.perf_counter() - started) * 1e3
    if response.status != 200:
        raise RuntimeError(f"{path} answered {response.status}: {body[:300]!r}")
    return took


def _milliseconds(statement: str, campaign: Campaign) -> float:
    took = []
    with connection.cursor() as cursor:
        for _ in range(2):
            started = time.perf_counter()
            cursor.execute(statement, [campaign.pk])
            cursor.fetchall()
            took.append((time.perf_counter() - started) * 1e3)
    return min(took)
