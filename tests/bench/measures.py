"""The figures, one function each. Runs inside Django, on the bench's own database."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import posixpath
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import psutil
from django.conf import settings
from django.db import connection
from django.test import Client
from django.utils import timezone

from annotation.models import Assignment, Campaign, Feedback, Role, Task, User
from annotation.services import campaigns, simulation
from tests.bench.servers import ROOT, Web

PEOPLE = 16
SENTENCE = (
    "about after again answer because before better between choose clear could explain find first follow give good "
    "great have help here important know learn like little long make many more need often other people place point "
    "question really right same should simple some start still take tell than that their there these thing think "
    "time under want water what when where which while with without word work would write year your"
)


def lines(pairs: int) -> Iterator[bytes]:
    """Yield import lines of the length of helpfulness data: about 40 words of prompt and twice 70 of answer."""
    dice, words = random.Random(7), SENTENCE.split()
    for number in range(pairs):
        prompt, first, second = (
            " ".join(dice.choices(words, k=dice.randint(low, high))) for low, high in ((10, 70), (20, 120), (20, 120))
        )
        answers = [{"text": first, "origin": "policy-0"}, {"text": second, "origin": "policy-1"}]
        yield (
            json.dumps({"id": f"pair-{number}", "prompt": f"{number} {prompt}", "completions": answers}).encode()
            + b"\n"
        )


def campaign_with_people(name: str) -> tuple[Campaign, list[str], list[int]]:
    """Return a campaign with 16 annotators: their tokens and their ids."""
    lead, _ = User.objects.get_or_create(username="bench-lead")
    campaign = campaigns.create(name=name, actor=lead)
    tokens = [simulation.enlist(campaign=campaign, name=f"{name}-{n}", role=Role.ANNOTATOR) for n in range(PEOPLE)]
    people = User.objects.filter(memberships__campaign=campaign, memberships__role=Role.ANNOTATOR)
    return campaign, tokens, list(people.values_list("pk", flat=True))


def import_over_http(server: Web, campaign: Campaign, pairs: int) -> dict[str, float]:
    """Return rows per second of an import sent as one body, and by how much the web processes grew."""
    token = simulation.enlist(campaign=campaign, name=f"{campaign.name}-engineer", role=Role.ENGINEER)
    body = b"".join(lines(pairs))
    before = server.rss()
    started = time.perf_counter()
    http_ = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    http_.request(
        "POST",
        f"/api/campaigns/{campaign.pk}/import/",
        body=body,
        headers={"Authorization": f"Token {token}", "Content-Type": "application/x-ndjson"},
    )
    response = http_.getresponse()
    report = json.load(response)
    seconds = time.perf_counter() - started
    if response.status != 200 or report["created"] != pairs:
        raise RuntimeError(f"The import answered {response.status}: {str(report)[:500]}")
    lead = campaign.created_by
    if campaign.state == Campaign.State.DRAFT:
        campaigns.open_campaign(campaign=campaign, actor=lead)
    return {
        "rows": pairs,
        "megabytes": len(body) / 1e6,
        "seconds": seconds,
        "rows_per_second": pairs / seconds,
        "grew_mib": (server.rss() - before) / 2**20,
    }


def judge_over_http(
    server: Web, campaign: Campaign, keys: list[str], judgements: int, *, way: str = "rest"
) -> dict[str, float]:
    """Return the figures of `load.run`, and what a judgement cost: that tells more than a rate on a busy machine."""
    asked = {"port": server.port, "campaign": campaign.pk, "keys": keys, "judgements": judgements, "way": way}
    web_before, database_before = server.cpu_seconds(), database_cpu_seconds()
    figures = _in_a_process("tests.bench.load", asked)
    done = figures["judgements"]
    figures["web_cpu_ms"] = (server.cpu_seconds() - web_before) / done * 1000
    figures["database_cpu_ms"] = (database_cpu_seconds() - database_before) / done * 1000
    return figures


def database_cpu_seconds() -> float:
    """Return the CPU seconds of our PostgreSQL and all its processes, ended ones too; 0 when it runs elsewhere."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    try:
        postmaster = psutil.Process(pid).parent()
    except psutil.NoSuchProcess:
        return 0.0
    if postmaster is None or postmaster.name() != "postgres":
        return 0.0
    total = sum(postmaster.cpu_times()[:4])
    for process in postmaster.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:2])
    return total


def judge_raw(url: str, campaign: Campaign, people: list[int], judgements: int) -> dict[str, float]:
    asked = {"url": url, "campaign": campaign.pk, "users": people, "judgements": judgements}
    return _in_a_process("tests.bench.raw", asked)


def _in_a_process(module: str, asked: dict[str, Any]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", module, json.dumps(asked)], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout)


def fill_with_judgements(campaign: Campaign, people: list[int]) -> None:
    """Judge every task that nobody holds, in bulk: this is what the export reads."""
    now = timezone.now()
    tasks = list(campaign.tasks.filter(state=Task.State.OPEN, seats__gt=0).order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(tasks), 5000):
        chosen = tasks[start : start + 5000]
        assignments = Assignment.objects.bulk_create(
            Assignment(
                task_id=task,
                campaign=campaign,
                user_id=people[number % len(people)],
                state=Assignment.State.SUBMITTED,
                shown_order=[0, 1],
                expires_at=now,
                closed_at=now,
            )
            for number, task in enumerate(chosen)
        )
        Feedback.objects.bulk_create(
            Feedback(
                campaign=campaign,
                task_id=assignment.task_id,
                assignment=assignment,
                user_id=assignment.user_id,
                kind="pairwise",
                payload={"verdict": "prefer", "preference": 2, "comment": ""},
                shown_order=[0, 1],
                client_key=assignment.key,
                guideline_version=1,
                seconds=20.0,
            )
            for assignment in assignments
        )
        Task.objects.filter(pk__in=chosen).update(state=Task.State.COMPLETE, done=1, seats=0)
    tidy()


def fill_with_copies(campaign: Campaign, source: Campaign, items: int) -> None:
    """Put `items` open tasks into `campaign`, copies of those of `source`, and open it; by SQL, as import has its own.

    The tasks share their prompts, which the queue does not look at; each has its own content, as an import makes it.
    """
    columns = [field.column for field in Task._meta.concrete_fields if not field.primary_key]
    taken = {"campaign_id": "%s", "external_id": "'copy-' || row_number() OVER ()", "state": "'open'"}
    taken |= {"done": "0", "seats": "wanted"}
    picked = ", ".join(taken.get(column, f'"{column}"') for column in columns)
    copies = -(-items // source.tasks.count())
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO annotation_task ({', '.join(columns)}) SELECT {picked} FROM annotation_task, "
            "generate_series(1, %s) WHERE campaign_id = %s LIMIT %s",
            [campaign.pk, copies, source.pk, items],
        )
    campaigns.open_campaign(campaign=campaign, actor=campaign.created_by)
    tidy()


def judge_all_by_sql(campaign: Campaign, people: list[int], *, like: Campaign) -> None:
    """Give every item of a campaign one judgement, a copy of one of `like`; by the ORM a million would take minutes."""
    person = f"(ARRAY{people})[1 + made.id %% {len(people)}]"
    _copies(Assignment, like, "annotation_task", campaign, key="'bench-' || made.id", task_id="made.id", user_id=person)
    about = {"task_id": "made.task_id", "assignment_id": "made.id", "user_id": "made.user_id", "client_key": "made.key"}
    _copies(Feedback, like, "annotation_assignment", campaign, **about)
    Task.objects.filter(campaign=campaign).update(done=1, seats=0, state=Task.State.COMPLETE)
    tidy()


def _copies(model: Any, like: Campaign, of_each: str, campaign: Campaign, **taken: str) -> None:
    """Insert a copy of one row of `model` for each row of the table `of_each` in the campaign, save what is taken."""
    columns = [field.column for field in model._meta.concrete_fields if not field.primary_key]
    picked = ", ".join({"campaign_id": "made.campaign_id", **taken}.get(name, f'one."{name}"') for name in columns)
    one = model.objects.filter(campaign=like).order_by("pk")[0]
    with connection.cursor() as cursor:
        # What a copy refers to is there: to look for each of a million would take most of the time.
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            f"INSERT INTO {model._meta.db_table} ({', '.join(columns)}) SELECT {picked} FROM {of_each} made, "
            f"{model._meta.db_table} one WHERE made.campaign_id = %s AND one.id = %s ORDER BY made.id",
            [campaign.pk, one.pk],
        )
        cursor.execute("SET session_replication_role = origin")


def tidy() -> None:
    """Do at once what PostgreSQL's own vacuum would do some time after a large import."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")  # else it falls into what is measured next


def export_over_http(server: Web, campaign: Campaign, *, query: str = "") -> dict[str, float]:
    """Return rows per second, seconds to the first byte of the body, and the highest growth seen meanwhile."""
    token = simulation.enlist(campaign=campaign, name=f"{campaign.name}-engineer", role=Role.ENGINEER)
    before = highest = server.rss()
    rows = received = 0
    first = None
    started = time.perf_counter()
    http_ = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    http_.request(
        "GET", f"/api/campaigns/{campaign.pk}/export/?view=pairs{query}", headers={"Authorization": f"Token {token}"}
    )
    response = http_.getresponse()
    if response.status != 200:
        raise RuntimeError(f"The export answered {response.status}: {response.read(500)!r}")
    looked = started
    while piece := response.read1(1 << 20):
        now = time.perf_counter()
        first = first or now - started
        rows += piece.count(b"\n")
        received += len(piece)
        if now - looked > 0.1:
            highest, looked = max(highest, server.rss()), now
    seconds = time.perf_counter() - started
    return {
        "rows": rows,
        "megabytes": received / 1e6,
        "seconds": seconds,
        "rows_per_second": rows / seconds,
        "first_byte_seconds": first or seconds,
        "grew_mib": (highest - before) / 2**20,
    }


def cookies_of(people: list[int]) -> list[str]:
    """Return a signed-in browser's cookie for each person; the web processes share our key and our database."""
    found = []
    for user in User.objects.filter(pk__in=people):
        client = Client()
        client.force_login(user)
        found.append(f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}")
    return found


def page_script(server: Web, campaign: Campaign, cookie: str) -> dict[str, Any]:
    """Return the gzipped bytes of all scripts that the annotator's page loads, each by itself."""
    http_ = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def fetch(path: str, **headers: str) -> tuple[int, bytes]:
        http_.request("GET", path, headers=headers)
        response = http_.getresponse()
        return response.status, response.read()

    status, page = fetch(f"/work/{campaign.pk}/", Cookie=cookie)
    if status != 200:
        raise RuntimeError(f"The work page answered {status}.")
    sizes: dict[str, int] = {}
    waiting = re.findall(r'<script[^>]+src="([^"]+)"', page.decode())
    while waiting:
        path = waiting.pop()
        if path in sizes:
            continue
        _, script = fetch(path)
        sizes[path] = len(gzip.compress(script, 9))
        # A module that another one imports is loaded as well.
        imported = re.findall(r'(?:from|import)\s*["\'](\.[^"\']+)["\']', script.decode())
        waiting += [posixpath.normpath(posixpath.join(posixpath.dirname(path), name)) for name in imported]
    return {"bytes": sum(sizes.values()), "files": sizes}
