"""The page of rounds and policies, and its tables as CSV, over REST and for Prometheus."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import judge, make_task
from tests.frontend.lead_world import World, finish_run, judge_all, make_world, start_run
from training.models import Run
from training.services import fresh_pairs

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(monkeypatch: Any) -> World:
    """Return a campaign in which policy-1 is compared with policy-0, and a reward model was measured on fresh pairs."""
    monkeypatch.setattr(fresh_pairs, "LEAST", 1)
    made = make_world(tasks=2)
    judge_all(made)
    finish_run(start_run(made))
    for number in range(3):
        fields = {"meta": {"round": 1, "policy": "policy-1"}, "batch": "round-1-gate"}
        make_task(made.campaign, number=10 + number, origins=("policy-0", "policy-1"), **fields)
        judge(made.annotator, made.campaign, preference=-1, active_seconds=36)
    assert fresh_pairs.measure_all() == 1
    measured = {
        "accuracy": {"estimate": 2 / 3, "low": 0.2, "high": 0.94, "n": 3},
        "longer_is_chosen": {"estimate": 1 / 3, "low": 0.1, "high": 0.8, "n": 3},
        "calibration_error": 0.125,
        "brier": 0.2,
        "reliability": [{"confidence": 0.6, "right": {"estimate": 2 / 3, "low": 0.2, "high": 0.94, "n": 3}}],
    }
    finish_run(Run.objects.get(recipe__name=fresh_pairs.RECIPE), metrics=measured)
    return made


def test_the_page_says_what_is_defined_and_why_the_rest_is_not(world: World) -> None:
    where = reverse("policies", args=[world.campaign.pk])
    html = world.client("engineer").get(where).content.decode()
    assert "policy-1" in html and "100" in html
    assert "Not defined: no item has been judged by two people." in html
    assert "Not defined: the curve needs 3 more reward models" in html
    assert "0.125" in html and "Is it as right as it is sure?" in html
    assert "Only simulated people" not in html
    part = world.client("lead").get(where, headers={"HX-Request": "true"}).content.decode()
    assert part.lstrip().startswith('<div class="stack--l" id="policies" hx-get=')
    assert world.client("annotator").get(where).status_code == 403
    assert world.client("stranger").get(where).status_code == 404


def test_each_table_is_a_file_too(world: World) -> None:
    def rows(part: str) -> list[dict[str, str]]:
        answer = world.client("lead").get(reverse("policies-csv", args=[world.campaign.pk, part]))
        return list(csv.DictReader(io.StringIO(answer.content.decode())))

    assert [(row["policy"], row["judgements"]) for row in rows("agreement")] == [("policy-1", "3"), ("", "2")]
    assert [(row["policy"], row["other"], row["won"], row["win_rate"]) for row in rows("wins")] == [
        ("policy-1", "policy-0", "3", "1.0"),
        ("model-b", "model-a", "0", "0.0"),
    ]
    assert rows("severity") == []
    assert [(row["sure"], row["n"]) for row in rows("reliability")] == [("0.6", "3")]
    assert [(row["model"], row["calibration_error"]) for row in rows("fresh-pairs")] == [("reward-0", "0.125")]
    assert [row["model"] for row in rows("next-labels")] == ["reward-0"]
    assert world.client("lead").get(reverse("policies-csv", args=[world.campaign.pk, "other"])).status_code == 404
    read = world.client("lead").get(
        reverse("operations", args=[world.campaign.pk]), {"format": "csv", "part": "exposure"}
    )
    assert read.content.decode().startswith("category,this_week,in_all")


def test_rest_and_prometheus_say_the_same(world: World, settings: Any) -> None:
    engineer = world.client("engineer")
    figures = engineer.get(reverse("api-metrics", args=[world.campaign.pk])).json()
    assert [(one["policy"], one["won"], one["rate"]["n"]) for one in figures["wins"]] == [
        ("policy-1", 3, 3),
        ("model-b", 0, 2),
    ]
    assert {one["undefined"] for one in figures["agreement"]} == {"single"} and figures["late"] == 0
    rewards = engineer.get(reverse("api-reward-figures", args=[world.campaign.pk])).json()
    assert rewards["fresh_pairs"][0]["metrics"]["brier"] == 0.2
    assert (rewards["next_labels"]["labels"], rewards["next_labels"]["undefined"]) == (500, "few")
    settings.ATTUNE_METRICS_TOKEN = "a token"
    settings.ATTUNE_HOME = Path(settings.ATTUNE_FILES)
    text = Client().get("/metrics", headers={"Authorization": "Bearer a token"}).content.decode()
    assert (
        f'batch="round-1-gate",campaign="{world.campaign.pk}",other="policy-0",outcome="won",policy="policy-1"' in text
    )
    assert f'attune_reward_accuracy_fresh{{campaign="{world.campaign.pk}",model="reward-0"}} 0.66' in text
