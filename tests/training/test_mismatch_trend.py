"""Reward and people over rounds: the way added up by hand, ρ within a gate, the alarm, the page, its file and REST."""

from __future__ import annotations

import json
import math

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from annotation.services import queue
from tests.factories import judge, make_task
from tests.frontend.lead_world import World, make_loop, make_world
from training import paths
from training.models import GateReport, ModelVersion, Round, Run
from training.services import mismatch_trend

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return make_world(tasks=0)


def figure(name: str, estimate: float, n: int = 100) -> dict:
    low, high = estimate - 0.05, estimate + 0.05
    return {"name": name, "estimate": estimate, "low": low, "high": high, "n": n, "limit": None, "passed": True}


def gate(world: World, policy: ModelVersion, *, human: float | None, reward: float, kl: float) -> ModelVersion:
    """Return the candidate of the next round, with its report."""
    loop = world.campaign.loop
    number = loop.rounds.count() + 1
    candidate = ModelVersion.objects.create(campaign=world.campaign, kind="policy", number=number, path="x")
    Round.objects.create(loop=loop, index=number, policy=policy, candidate=candidate, state=Round.State.PROMOTED)
    figures = [figure("reward_win_rate", reward), figure("kl", kl, 40)]
    figures += [figure("human_win_rate", human)] if human is not None else []
    GateReport.objects.create(candidate=candidate, parent=policy, verdict="pass", figures=figures)
    return candidate


def told(world: World) -> list[str]:
    return [str(one) for one in mismatch_trend.of_campaign(world.campaign).alarms]


def test_steps_add_up_and_a_fall_is_told_once_it_is_shown(world: World) -> None:
    """60 of 100 are ln(60.5/40.5) = 0.4013 and √4 = 2 nats½; 80 of 100 are ln(80.5/20.5) = 1.3678.

    The error of a step of 60 is √(1/60.5 + 1/40.5) = 0.2030. A fall of 45 (ln(45.5/55.5) = −0.1986) is not shown. With
    one of 32 (ln(32.5/68.5) = −0.7456) both are −0.944, more than three times √(0.2000² + 0.2130²) = 0.2922.
    """
    loop = make_loop(world)
    one = gate(world, loop.campaign.model_versions.get(), human=0.6, reward=0.8, kl=4.0)
    trend = mismatch_trend.of_campaign(world.campaign)
    first, second = trend.way
    assert (first.distance, first.human, first.proxy) == (0, 0, 0)
    assert (second.distance, second.human, second.proxy) == (
        2.0,
        pytest.approx(0.4013, abs=1e-4),
        pytest.approx(1.3678, abs=1e-4),
    )
    assert trend.steps[0].error == pytest.approx(0.2030, abs=1e-4) and not trend.curves and trend.link.estimate is None
    two = gate(world, one, human=0.45, reward=0.8, kl=2.25)
    assert told(world) == []
    gate(world, two, human=None, reward=0.9, kl=1.0)  # nobody was asked: no point of the way
    three = gate(world, two, human=0.32, reward=0.7, kl=1.0)
    (said,) = told(world)
    assert "the reward rose and people's preference fell" in said and "up to policy-4" in said
    assert "Put policy-1 back into use" in said
    trend = mismatch_trend.of_campaign(world.campaign)
    assert [point.distance for point in trend.way] == [0, 2, 3.5, 4.5] and len(trend.steps) == 4
    assert trend.link.n == 4 and {curve.way for curve in trend.curves} == {"rl", "best_of_n"}
    # The proxy falls over the newest three, so that only the other rule tells.
    gate(world, three, human=0.3, reward=0.05, kl=1.0)
    (said,) = told(world)
    assert said.startswith("People prefer policy-1 to policy-5, by more than three standard errors")


def test_rho_is_of_what_was_compared(world: World) -> None:
    """Four prompts on which people prefer the candidate as the reward model does, and one on which they do not."""
    loop = make_loop(world)
    gate(world, loop.campaign.model_versions.get(), human=0.6, reward=0.8, kl=4.0)
    round = Round.objects.get()
    said = {"a": 2, "b": 3, "c": -2, "d": -1, "e": -2}
    for name in said:
        task = make_task(
            world.campaign, external_id=f"round-1-gate-{name}", batch="round-1-gate", meta={"candidate": 0}
        )
        assert task.batch
    for _ in said:
        assignment = queue.next_task(user=world.annotator, campaign=world.campaign)
        name = assignment.task.external_id[-1]
        judge(world.annotator, world.campaign, assignment=assignment, preference=said[name])
    run = Run.objects.create(
        campaign=world.campaign, kind="evaluate", recipe={"name": "compare", "knobs": {}}, round=round, purpose="gate",
        state=Run.State.SUCCEEDED, result={"files": {"comparisons": "comparisons.jsonl"}},
    )  # fmt: skip
    folder = paths.run_folder(run.pk)
    folder.mkdir(parents=True)
    margins = {"a": 0.9, "b": 0.8, "c": -0.5, "d": -0.7, "e": 0.1, "f": 3.0}  # nobody judged the last
    (folder / "comparisons.jsonl").write_text(
        "".join(json.dumps({"id": name, "reward_preference": value}) + "\n" for name, value in margins.items())
    )
    (step,) = mismatch_trend.of_campaign(world.campaign).steps
    # Ranks of the margins: 5 4 2 1 3; of people's shares 1 1 0 0 0: 4.5 4.5 2 2 2. By Pearson on them 7.5/√(10·7.5).
    assert step.rho.estimate == pytest.approx(7.5 / math.sqrt(75)) and step.rho.n == 5
    page = world.client("lead").get(reverse("mismatch", args=[world.campaign.pk])).content.decode()
    assert "0.87" in page and "No alarm" in page and "policy-1" in page
    assert (
        reverse("mismatch", args=[world.campaign.pk])
        in world.client("lead").get(reverse("policies", args=[world.campaign.pk])).content.decode()
    )
    rows = world.client("lead").get(reverse("mismatch", args=[world.campaign.pk]), {"format": "csv"}).content.decode()
    header, line = rows.splitlines()
    assert dict(zip(header.split(","), line.split(","), strict=True))["rho_n"] == "5"
    client = APIClient()
    client.force_authenticate(world.lead)
    body = client.get(reverse("api-mismatch", args=[world.campaign.pk])).json()
    assert body["steps"][0]["rho"]["n"] == 5 and body["alarms"] == [] and len(body["way"]) == 2


def test_without_a_gate_there_is_nothing_to_say(world: World) -> None:
    trend = mismatch_trend.of_campaign(world.campaign)
    assert trend.steps == [] and trend.alarms == []
    page = world.client("engineer").get(reverse("mismatch", args=[world.campaign.pk]))
    assert "No gate has decided yet" in page.content.decode()
