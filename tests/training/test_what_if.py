"""Weights and shapes tried on answers that are scored already: by hand, as the core has them, by page and REST."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from django.urls import reverse

from tests.frontend.lead_world import World, finish_run, make_world, start_run
from training import paths
from training.core.batch import Tokens
from training.core.rollout import Rollout
from training.core.stages import shape as shapes
from training.errors import Invalid
from training.models import Run
from training.services import what_if

pytestmark = pytest.mark.django_db

# Reward and cost of each answer: the answer with the highest reward of the first prompt is the dearest.
GROUPS = [[(3.0, 9.0), (2.0, 0.0), (0.0, 0.0)], [(1.0, 1.0), (0.5, 1.0)], [(5.0, 0.0)]]


def sampled(world: World, groups: Any = GROUPS) -> Run:
    run = finish_run(start_run(world, recipe="bradley-terry"), files={"samples": "samples.jsonl"})
    folder = paths.run_folder(run.pk)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"completions": [{"scores": {"reward": r, "cost": c}} for r, c in group]} for group in groups]
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run


@pytest.fixture
def world() -> World:
    return make_world()


def test_a_cost_that_counts_changes_what_is_chosen(world: World) -> None:
    run = sampled(world)
    assert what_if.names_of(run) == ["reward", "cost"]
    found = what_if.of_run(run, weights={"reward": 1.0, "cost": -1.0})
    assert (found.prompts, found.answers, found.changed, found.left_out) == (2, 5, 1, 1)
    reward, cost = found.scores
    assert (reward.usual, reward.chosen, reward.mean) == (2.0, 1.5, 1.3)
    assert (cost.usual, cost.chosen) == (5.0, 0.5) and cost.change["estimate"] == -4.5 and cost.change["n"] == 2
    assert found.raw == [-6.0, 2.0, 0.0, 0.0, -0.5]
    alone = what_if.of_run(run, weights={"reward": 1.0, "cost": 0.0})
    assert alone.changed == 0 and all(one.change["estimate"] == 0 for one in alone.scores)


def test_a_score_in_hundreds_counts_no_more_than_one_in_tenths_on_its_own_scale(world: World) -> None:
    run = sampled(world, [[(100.0, 0.2), (300.0, 0.1), (200.0, 0.0)], [(100.0, 0.0), (200.0, 0.1)]])
    raw = what_if.of_run(run, weights={"reward": 1.0, "cost": -2.0})
    scaled = what_if.of_run(run, weights={"reward": 1.0, "cost": -2.0}, each_on_its_scale=True)
    assert (raw.changed, scaled.changed) == (0, 2)


def rollout(rewards: list[float]) -> Rollout:
    """Return answers to one prompt, each with the others for reference answers."""
    others = [rewards[:place] + rewards[place + 1 :] for place in range(len(rewards))]
    ids = torch.ones(len(rewards), 2, dtype=torch.long)
    none = torch.zeros(len(rewards), 2)
    return Rollout(
        prompts=([],) * len(rewards),
        texts=("",) * len(rewards),
        tokens=Tokens(ids, ids, none.bool()),
        group=torch.zeros(len(rewards), dtype=torch.long),
        ended=torch.ones(len(rewards), dtype=torch.bool),
        logps=none,
        entropy=none,
        reward=torch.tensor(rewards),
        reference_rewards=torch.tensor(others),
    )


def test_the_shapes_are_those_of_the_core(world: World) -> None:
    rewards = [1.5, -0.5, 0.25, 9.0]
    run = sampled(world, [[(one, 0.0) for one in rewards]])
    weights = {"reward": 1.0}
    for scale in (1.0, 3.0):
        found = what_if.of_run(run, weights=weights, shape="preference", scale=scale)
        core = shapes.preference(rollout(rewards), reward_scale=scale)
        assert core.reward is not None and found.shaped == pytest.approx(core.reward.tolist(), abs=1e-6)
        assert found.flat == pytest.approx(core.metrics["shape_saturated"])
    found = what_if.of_run(run, weights=weights, shape="centred-log-sigmoid")
    core = shapes.centred_log_sigmoid(rollout(rewards))
    assert core.reward is not None and found.shaped == pytest.approx(core.reward.tolist(), abs=1e-5)


def test_what_is_added_to_every_reward_leaves_preference_as_reward_alone(world: World) -> None:
    plain, moved = ([[(one + offset, 0.0) for one in (1.0, 2.0, 4.0)]] for offset in (0.0, 100.0))
    weights = {"reward": 1.0}
    shaped = [what_if.of_run(sampled(world, g), weights=weights, shape="preference").shaped for g in (plain, moved)]
    assert shaped[0] == pytest.approx(shaped[1], abs=1e-9)
    same = what_if.of_run(sampled(world, [[(3.0, 0.0), (3.0, 0.0)]]), weights=weights, shape="preference")
    assert same.shaped == [0.5, 0.5]
    far = what_if.of_run(sampled(world, [[(1e300, 0.0), (-1e300, 0.0)]]), weights=weights, shape="preference")
    assert far.shaped == [1.0, 0.0] and far.flat == 1.0


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"weights": {"reward": 0}}, "weights"),
        ({"weights": {"colour": 1}}, "weights"),
        ({"weights": {"reward": float("nan")}}, "weights"),
        ({"weights": {"reward": 1}, "shape": "round"}, "shape"),
        ({"weights": {"reward": 1}, "scale": 0.0}, "scale"),
    ],
)
def test_what_does_not_fit_is_said_at_its_field(world: World, more: dict[str, Any], field: str) -> None:
    run = sampled(world)
    weights = more.pop("weights")
    with pytest.raises(Invalid) as wrong:
        what_if.of_run(run, weights=what_if.checked_weights(weights, what_if.names_of(run)), **more)
    assert list(wrong.value.errors) == [field]


def test_the_page_tries_what_is_usual_and_then_what_is_asked(world: World) -> None:
    run = sampled(world)
    client, address = world.client("engineer"), reverse("run-what-if", args=[run.pk])
    assert address in client.get(reverse("run", args=[run.pk])).content.decode()
    html = client.get(address).content.decode()
    assert "Of 2 prompts another answer is the best for 1" in html and "1 prompt is left out" in html
    asked = {"weight_reward": "1", "weight_cost": "0", "scale": "2", "shape": "preference"}
    html = client.get(address, asked).content.decode()
    assert "another answer is the best for 0" in html and "The same, shaped" in html
    rows = client.get(address, {**asked, "format": "csv"}).content.decode().splitlines()
    assert rows[0].startswith("score,weight,mean") and rows[1].startswith("reward,1.0,1.3,2.0,2.0,0.0")
    for wrong in ({**asked, "scale": "0"}, {**asked, "weight_reward": "0"}, {**asked, "weight_cost": "much"}):
        assert client.get(address, wrong).status_code == 422
    assert "another answer is the best" not in client.get(address, {**asked, "scale": "0"}).content.decode()
    other = finish_run(start_run(world))
    assert client.get(reverse("run-what-if", args=[other.pk])).status_code == 404
    german = client.get(address, HTTP_ACCEPT_LANGUAGE="de").content.decode()
    assert "Was wäre, wenn die Bewertungen anders zählten?" in german


def test_rest_tells_the_same(world: World) -> None:
    run = sampled(world)
    client, address = world.client("engineer"), reverse("api-run-what-if", args=[run.pk])
    told = client.post(address, {}, content_type="application/json").json()
    assert (told["prompts"], told["changed"], told["left_out"]) == (2, 1, 1)
    assert [one["name"] for one in told["scores"]] == ["reward", "cost"]
    one = sampled(world, GROUPS[:1])
    again = client.post(reverse("api-run-what-if", args=[one.pk]), {}, content_type="application/json")
    assert again.json()["scores"][0]["change"]["low"] is None, "of one prompt there is no interval"
    bad = client.post(address, {"weights": {"colour": 1}}, content_type="application/json")
    assert bad.status_code in (400, 422) and "weights" in bad.json()["errors"]
    none = finish_run(start_run(world))
    assert (
        client.post(reverse("api-run-what-if", args=[none.pk]), {}, content_type="application/json").status_code == 409
    )
