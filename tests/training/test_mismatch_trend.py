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
from training.services.gate_pairs import Judged
from training.services.mismatch_trend import Step, Trend
from training.services.rank_correlation import Rho, partial

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


def rho(low: float, high: float) -> Rho:
    return Rho((low + high) / 2, low, high, 100)


def accuracy(estimate: float, half: float, n: int) -> dict[str, float]:
    return {"estimate": estimate, "low": estimate - half, "high": estimate + half, "n": n}


@pytest.mark.parametrize(
    ("judged", "says"),
    [
        # below a half by more than the interval; by less, though far below what it was; of too few pairs
        (Judged("r", rho(-0.5, -0.1), rho(-0.5, -0.1), accuracy(0.40, 0.09, 100), None), ["40% of 100"]),
        (Judged("r", rho(-0.5, -0.1), rho(-0.5, -0.1), accuracy(0.42, 0.09, 100), accuracy(0.8, 0.05, 300)), []),
        (Judged("r", rho(-0.5, -0.1), rho(-0.5, -0.1), accuracy(0.30, 0.15, 40), None), []),
        (Judged("", rho(0.2, 0.5), rho(-0.1, 0.3), accuracy(0.7, 0.08, 100), None), ["length and refusals alone"]),
        (Judged("", rho(-0.1, 0.3), rho(-0.2, 0.2), accuracy(0.7, 0.08, 100), None), []),
    ],
)
def test_the_newest_gate_s_pairs_speak_against_a_reward_model(judged: Judged, says: list[str]) -> None:
    step = Step(3, "policy-3", "policy-2", "pass", None, None, None, None, judged, None, None)
    said = [str(one) for one in Trend([step]).alarms]
    assert len(said) == len(says) and all(part in one for part, one in zip(says, said, strict=True))


def test_rho_is_of_what_was_compared(world: World) -> None:
    """Six prompts on which people prefer as the reward model does, and one on which they do not.

    The candidate's answers are the longer the more the reward model likes them: with length fixed, less is left.
    """
    loop = make_loop(world)
    candidate = gate(world, loop.campaign.model_versions.get(), human=0.6, reward=0.8, kl=4.0)
    report = GateReport.objects.get()
    report.figures.append({**figure("over_refusal", 0.25, 40), "low": 0.15, "high": 0.4})
    report.save()
    before = {"estimate": 0.9, "low": 0.8, "high": 0.95, "n": 50}
    model = ModelVersion.objects.create(
        campaign=world.campaign, kind="reward", number=0, path="of-round-1", metrics={"eval_accuracy": before}
    )
    round = Round.objects.get()
    said = {"a": 2, "b": 3, "c": -2, "d": -1, "e": -2, "g": 1, "h": -3}
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
        inputs={"scorers": {"reward": model.path}},
    )  # fmt: skip
    folder = paths.run_folder(run.pk)
    folder.mkdir(parents=True)
    margins = {
        "a": 0.9,
        "b": 0.8,
        "c": -0.5,
        "d": -0.7,
        "e": 0.1,
        "g": 0.6,
        "h": -0.2,
        "f": 3.0,
    }  # nobody judged the last
    unjudged = {"f": 3.0}
    (folder / "comparisons.jsonl").write_text(
        "".join(
            json.dumps(
                {
                    "id": name,
                    "reward_preference": value,
                    "candidate": {"tokens": math.floor(2 * value + 0.5)},
                    "current": {"tokens": 0},
                    "refused": [False, name == "c"],
                }
            )
            + "\n"
            for name, value in {**margins, **unjudged}.items()
        )
    )
    (step,) = mismatch_trend.of_campaign(world.campaign).steps
    # Ranks of the margins less 4: 3 2 -2 -3 0 1 -1; of people's shares, three 1 and four 0: 2 or -1.5. 21/√(28·21).
    judged = step.judged
    assert judged.rho.estimate == pytest.approx(21 / math.sqrt(588)) and judged.rho.n == 7
    # People were divided about none; the model puts six of seven as they do, and of 0.1 it is wrong.
    assert (judged.accuracy["estimate"], judged.accuracy["n"]) == (6 / 7, 7)
    assert (judged.model, judged.before) == (model.label, before)
    values, people = [margins[name] for name in said], [float(said[name] > 0) for name in said]
    left = partial(values, people, [2, 2, -1, -1, 0, 1, 0], [0, 0, -1, 0, 0, 0, 0])
    assert judged.fixed == left and left.estimate < judged.rho.estimate
    page = world.client("lead").get(reverse("mismatch", args=[world.campaign.pk])).content.decode()
    assert "0.87" in page and "No alarm" in page and "policy-1" in page
    assert "Over-refusal" in page and "25%" in page and model.label in page and "86%" in page
    assert (
        reverse("mismatch", args=[world.campaign.pk])
        in world.client("lead").get(reverse("policies", args=[world.campaign.pk])).content.decode()
    )
    rows = world.client("lead").get(reverse("mismatch", args=[world.campaign.pk]), {"format": "csv"}).content.decode()
    header, line = rows.splitlines()
    told_of = dict(zip(header.split(","), line.split(","), strict=True))
    assert told_of["rho_n"] == "7" and told_of["over_refusal"] == "0.25" and told_of["reward_accuracy_n"] == "7"
    assert told_of["reward_accuracy_before"] == "0.9" and told_of["reward_model"] == model.label
    assert float(told_of["rho_length_and_refusals_fixed"]) == pytest.approx(left.estimate)
    client = APIClient()
    client.force_authenticate(world.lead)
    body = client.get(reverse("api-mismatch", args=[world.campaign.pk])).json()
    told_of = body["steps"][0]
    assert told_of["rho"]["n"] == 7 and body["alarms"] == [] and len(body["way"]) == 2
    assert told_of["over_refusal"]["estimate"] == 0.25 and told_of["reward_accuracy"]["n"] == 7
    assert told_of["reward_accuracy_before"] == before and told_of["reward_model"] == model.label
    assert told_of["rho_length_and_refusals_fixed"]["n"] == 7
    assert candidate.label == told_of["candidate"]


def test_without_a_gate_there_is_nothing_to_say(world: World) -> None:
    trend = mismatch_trend.of_campaign(world.campaign)
    assert trend.steps == [] and trend.alarms == []
    page = world.client("engineer").get(reverse("mismatch", args=[world.campaign.pk]))
    assert "No gate has decided yet" in page.content.decode()
