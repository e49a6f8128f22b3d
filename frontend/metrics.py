"""Figures for Prometheus: how long requests take, counted by each web process, and how the campaigns and runs stand.

Off unless METRICS_TOKEN is set. The processes of one server count in files of one folder, named after their parent, so
that whichever of them is asked answers for all; folders of servers that ended are removed by the next.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil
from django.conf import settings
from django.db.models import Count
from django.http import HttpRequest, HttpResponse

from annotation import by_policy, sums
from annotation.models import Campaign
from annotation.operations import queue
from training.models import Run
from training.services import fresh_pairs, guard_latency

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


def _folder() -> Path:
    root = settings.ATTUNE_HOME / "run"
    for old in root.glob("metrics-*"):
        number = old.name.rpartition("-")[2]
        if number.isdecimal() and int(number) != os.getppid() and not psutil.pid_exists(int(number)):
            shutil.rmtree(old, ignore_errors=True)
    made = root / f"metrics-{os.getppid()}"
    made.mkdir(parents=True, exist_ok=True)
    return made


@lru_cache(maxsize=1)
def _latency() -> Any:
    # The library decides when it is loaded whether it counts for one process or for several.
    os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(_folder()))
    from prometheus_client import Histogram

    return Histogram(
        "attune_request_seconds",
        "Time from a request's arrival in Django to its answer.",
        ["page", "method", "status"],
        buckets=BUCKETS,
    )


class Latency:
    """Middleware: counts each request under the name of its page. No SQL."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.histogram = _latency()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        begun = time.perf_counter()
        response = self.get_response(request)
        match = request.resolver_match
        page = (match.url_name or "other") if match is not None else "none"
        method = request.method if request.method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE") else "other"
        self.histogram.labels(page, method, f"{response.status_code // 100}xx").observe(time.perf_counter() - begun)
        return response


class _Standing:
    """What the database says when it is asked."""

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        names = {
            "open_items": "Items that still want judgements.",
            "free_seats": "Judgements that could be begun now.",
            "leases": "Items that somebody holds.",
            "judgements": "Judgements there are.",
            "oldest_seconds": "Age of the oldest open item.",
        }
        known = {campaign: sums.of(campaign) for campaign in Campaign.objects.order_by("pk")}
        found = {campaign.pk: queue(campaign, of_it) for campaign, of_it in known.items()}
        for name, words in names.items():
            family = GaugeMetricFamily(f"attune_queue_{name}", words, labels=["campaign"])
            for campaign, of_it in sorted(found.items()):
                family.add_metric([str(campaign)], getattr(of_it, name) or 0)
            yield family
        yield from _of_policies(known)
        yield from _of_guards(known)
        family = GaugeMetricFamily("attune_runs", "Runs by kind and state.", labels=["kind", "state"])
        for kind, state, count in Run.objects.order_by().values_list("kind", "state").annotate(n=Count("id")):
            family.add_metric([kind, state], count)
        yield family


def _of_guards(known: dict[Campaign, sums.Sums]) -> Iterator[Any]:
    """Yield how long guards took, and what they held back, of the newest verdicts in this machine's logs. No SQL."""
    from prometheus_client.core import GaugeMetricFamily

    took = GaugeMetricFamily(
        "attune_guard_milliseconds",
        "Time of a guard's check of one text, of the newest verdicts.",
        labels=["campaign", "side", "quantile"],
    )
    read = GaugeMetricFamily(
        "attune_guard_verdicts", "The newest verdicts, by what came of them.", labels=["campaign", "side", "outcome"]
    )
    for campaign in known:
        for one in guard_latency.of_campaign(campaign.pk):
            where = [str(campaign.pk), one["side"]]
            took.add_metric([*where, "0.5"], one["median"])
            took.add_metric([*where, "0.95"], one["p95"])
            read.add_metric([*where, "passed"], one["n"] - one["held"])
            read.add_metric([*where, "held"], one["held"] - one["failed"])
            read.add_metric([*where, "failed"], one["failed"])
    yield from (took, read)


def _of_policies(known: dict[Campaign, sums.Sums]) -> Iterator[Any]:
    """Yield what people say of each policy: counts, as whoever asks divides them over any time they like."""
    from prometheus_client.core import GaugeMetricFamily

    compared = GaugeMetricFamily(
        "attune_comparisons",
        "Judgements of one policy's answer beside another's, by who won.",
        labels=["campaign", "policy", "other", "batch", "outcome"],
    )
    severe = GaugeMetricFamily(
        "attune_answers_judged", "Judgements of answers, by severity.", labels=["campaign", "policy", "round", "level"]
    )
    for campaign, of_it in known.items():
        for one in by_policy.wins(of_it):
            for outcome in ("won", "lost", "ties"):
                where = [str(campaign.pk), one.policy, one.other, one.batch, outcome]
                compared.add_metric(where, getattr(one, outcome))
        for mix in by_policy.severities(of_it):
            for level, count in enumerate(mix.levels):
                severe.add_metric([str(campaign.pk), mix.policy, str(mix.round), str(level)], count)
    yield from (compared, severe)
    accuracy = GaugeMetricFamily(
        "attune_reward_accuracy_fresh", "Of reward models on pairs judged after them.", labels=["campaign", "model"]
    )
    for campaign in known:
        for fresh in fresh_pairs.of_campaign(campaign)[:1]:
            measured = fresh.metrics.get("accuracy")
            if isinstance(measured, dict):
                accuracy.add_metric([str(campaign.pk), fresh.version.label], measured["estimate"])
    yield accuracy


def text() -> bytes:
    """Return everything in Prometheus's text format."""
    _latency()
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=os.environ["PROMETHEUS_MULTIPROC_DIR"])
    registry.register(_Standing())  # type: ignore[arg-type]
    return generate_latest(registry)
