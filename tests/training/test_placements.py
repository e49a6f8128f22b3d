"""The plan of a run's placement on an engine's GPUs, and what is said where none can be made."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from django.test import Client
from rest_framework.test import APIClient

from annotation.models import Campaign, User
from tests.factories import make_task
from tests.training.round_world import to_the_gate
from training.errors import Invalid, TrainingError
from training.models import Loop, ModelVersion, Round, Run
from training.recipes import RECIPES
from training.recipes.engines.placement import Inventory
from training.recipes.engines.steps import calls_of, placed
from training.services import execution, placements, rounds, versions

pytestmark = pytest.mark.django_db
KNOBS = {"prompts_per_iteration": 8, "samples_per_prompt": 4, "batch_size": 32}


@pytest.fixture
def big(campaign: Campaign, tmp_path) -> ModelVersion:
    """A policy of whose weights there are the headers alone: 14 billion parameters."""
    header = {"w": {"dtype": "BF16", "shape": [14_000, 1_000_000], "data_offsets": [0, 0]}, "__metadata__": {"a": "b"}}
    told = json.dumps(header).encode()
    (tmp_path / "model.safetensors").write_bytes(len(told).to_bytes(8, "little") + told)
    return versions.register(campaign=campaign, kind="policy", path=str(tmp_path), actor=None)


@pytest.fixture(autouse=True)
def engines(settings) -> None:
    settings.ATTUNE_ENGINES = {"verl": sys.executable, "areal": sys.executable}


def test_the_calls_of_a_step_by_hand():
    """32 answers of 256 tokens after prompts of 512: 24,576 tokens to read; 2 · 10⁹ · 24,576 / 3·10¹⁴ = 0.164 s."""
    ppo = RECIPES["ppo"]
    knobs = ppo.fill({**KNOBS, "passes": 1, "max_new_tokens": 256})
    calls, models = calls_of(ppo, knobs, billions=1.0)
    assert [(call.name, call.model) for call in calls] == [
        ("generate", "policy"),
        ("refer", "reference"),
        ("value", "critic"),
        ("fit", "critic"),
        ("train", "policy"),
    ]
    work = {call.name: call.work for call in calls}
    assert work["refer"] == work["value"] == pytest.approx(0.16384) and work["train"] == pytest.approx(3 * 0.16384)
    assert work["generate"] == pytest.approx(10 * 0.16384 / 3)
    assert [model.name for model in models if model.trained] == ["policy", "critic"]
    assert {"generate", "refer", "value"} == set(calls[-1].after)


def test_a_plan_is_no_worse_than_the_naive_one_and_fits_where_that_does_not():
    """Fourteen billion parameters with a critic: whole copies of three models take over 80 GiB, slices do not."""
    ppo = RECIPES["ppo"]
    inventory = Inventory(1, 8, 80.0)
    found = placed(ppo, ppo.fill(KNOBS), engine="verl", inventory=inventory, billions=14.0)
    assert not found.naive_fits and found.found.memory_gib <= 80 and not found.is_naive
    assert found.settings["trainer.n_gpus_per_node"] == 8
    grpo = RECIPES["grpo"]
    small = placed(grpo, grpo.fill(KNOBS), engine="verl", inventory=inventory, billions=1.0)
    assert small.naive_fits and small.faster >= 1 and [row.gpus for row in small.rows] == ["0–7"] * len(small.rows)
    apart = placed(grpo, grpo.fill({**KNOBS, "kl_weight": 0.0}), engine="areal", inventory=inventory, billions=14.0)
    places = [(one.first, one.count) for one in apart.found.plan.values()]
    assert len(places) == 2 and apart.settings["allocation_mode"].startswith("sglang[rollout]:")


def test_by_rest_with_the_size_that_the_folder_says(campaign: Campaign, lead: User, big: ModelVersion):
    client = APIClient()
    client.force_authenticate(lead)
    url = f"/api/training/campaigns/{campaign.pk}/placement/"
    body = {"recipe": "ppo", "knobs": KNOBS, "parent": big.pk, "engine": "verl"}
    told = client.post(url, {**body, "engine_settings": {"trainer.n_gpus_per_node": 8}}, format="json")
    assert told.status_code == 200, told.json()
    plan = told.json()
    assert (plan["gpus"], plan["naive_fits"], plan["exhaustive"]) == (8, False, True)
    assert plan["fullest_gpu_gib"] <= 80 < plan["naive_fullest_gpu_gib"] and len(plan["calls"]) == 5
    none = client.post(url, body, format="json")
    assert none.status_code == 422 and "does not fit" in none.json()["detail"]  # one GPU
    wrong = client.post(url, {**body, "engine_settings": {"trainer.n_gpus_per_node": 65}}, format="json")
    assert wrong.json()["detail"] == "A placement is planned for 1 to 64 GPUs."
    other = client.post(url, {**body, "engine": "areal"}, format="json")
    assert other.json()["detail"].startswith("areal has no counterpart") or "AReaL" in other.json()["detail"]


def test_a_size_that_nobody_knows_is_asked_for(campaign: Campaign):
    engine = {"name": "verl", "settings": {}}
    grpo = RECIPES["grpo"]
    with pytest.raises(Invalid) as wrong:
        placements.plan(recipe=grpo, knobs=grpo.fill(KNOBS), engine=engine, model="org/model")
    assert wrong.value.errors["billions"] == [
        "How large org/model is cannot be read here. Enter its billions of parameters."
    ]
    told = placements.plan(recipe=grpo, knobs=grpo.fill(KNOBS), engine=engine, model="org/model", billions=0.5)
    assert told.inventory.gpus == 1 and told.is_naive and told.faster == 1


def ordered(campaign: Campaign, lead: User, big: ModelVersion, **more: object) -> Run:
    reward = versions.register(campaign=campaign, kind="reward", path=big.path, actor=None)
    make_task(campaign)
    client = APIClient()
    client.force_authenticate(lead)
    body = {"recipe": "ppo", "knobs": KNOBS, "parent": big.pk, "reward": reward.pk, "engine": "verl", **more}
    made = client.post(f"/api/training/campaigns/{campaign.pk}/runs/", body, format="json")
    assert made.status_code == 201, made.json()
    run = Run.objects.get(pk=made.json()["id"])
    assert made.json()["placement"] == run.inputs.get("placement")
    return run


def page_of(run: Run, lead: User) -> str:
    client = Client()
    client.force_login(lead)
    return " ".join(client.get(f"/runs/{run.pk}/").text.split())


def test_a_run_keeps_the_plan_that_was_made_for_it(campaign: Campaign, lead: User, big: ModelVersion):
    run = ordered(campaign, lead, big, engine_settings={"trainer.n_gpus_per_node": 8})
    kept = run.inputs["placement"]
    assert kept["found"]["mark"] == Inventory(1, 8, 80.0).mark and not kept["naive_fits"] and not kept["followed"]
    html = page_of(run, lead)
    assert "The settings of its engine are not those of this plan." in html and "mark " + kept["found"]["mark"] in html
    again = ordered(campaign, lead, big, engine_settings=kept["settings"], gpu_memory_gib=80)
    assert again.inputs["placement"]["followed"] and "The run follows this plan." in page_of(again, lead)
    other = ordered(campaign, lead, big, engine_settings={"trainer.n_gpus_per_node": 8}, gpu_memory_gib=141)
    assert other.inputs["placement"]["found"]["mark"] != kept["found"]["mark"], "another kind of GPU"
    assert "placement" not in ordered(campaign, lead, big).inputs, "on one GPU it fits nowhere, and no plan is kept"


@pytest.mark.parametrize(
    ("memories", "at_start", "says"),
    [
        ("81559\n" * 8, {"told": True, "gpus": 8, "memory_gib": 79.6, "same": True}, "had 8 of 79.6 GiB."),
        ("143771\n" * 8, {"told": True, "gpus": 8, "memory_gib": 140.4, "same": False}, "another plan might be faster"),
        ("81559\n" * 4, None, "planned for 8 GPUs"),
        ("11264\n" * 8, None, "planned for 8 GPUs"),
        (None, {"told": False}, "could not tell its GPUs"),
    ],
)
def test_a_worker_looks_again_before_it_starts(
    campaign: Campaign, lead: User, big: ModelVersion, tmp_path, monkeypatch, memories, at_start, says
):
    """A stand-in for the driver's program tells the GPUs, as it prints them."""
    run = ordered(campaign, lead, big, engine_settings={"trainer.n_gpus_per_node": 8})
    folder = tmp_path / "bin"
    folder.mkdir()
    if memories is not None:
        (folder / "nvidia-smi").write_text("#!/bin/sh\ncat <<END\n" + memories + "END\n")
        (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    if at_start is None:
        with pytest.raises(TrainingError, match=says):
            placements.look_again(run)
        execution.execute(run.pk)
        run.refresh_from_db()
        assert run.state == Run.State.FAILED and says in str(run.error)
        return
    placements.look_again(run)
    run.refresh_from_db()
    assert run.inputs["placement"]["at_start"] == at_start and says in page_of(run, lead)


def test_a_loop_names_an_engine_for_its_candidates(
    loop: Loop, campaign: Campaign, base: Path, annotator: User, lead: User
):
    """The toy core stands for the child that would ask the engine; what it is told is what is looked at."""
    header = json.dumps({"w": {"dtype": "BF16", "shape": [14_000, 1_000_000], "data_offsets": [0, 0]}}).encode()
    (base / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    chosen = {"policy_recipe": "grpo", "engine": "verl", "engine_settings": {"trainer.n_gpus_per_node": 8}}
    for wrong, field in (
        ({"engine": "velr"}, "engine"),
        ({"engine_settings": "trainer.nnode = 1"}, "engine_settings"),
        ({"engine": ""}, "engine_settings"),
        ({"policy_recipe": "dpo"}, "engine"),
        ({"policy_recipe": "macro-ppo"}, "engine"),
    ):
        with pytest.raises(Invalid) as refused:
            rounds.configure(loop=loop, settings=chosen | wrong, actor=lead)
        assert list(refused.value.errors) == [field], refused.value.errors
    rounds.configure(loop=loop, settings=chosen, actor=lead)
    round = to_the_gate(rounds.start_round(loop=loop, actor=lead), campaign, annotator)
    assert round.state == Round.State.GATING, str(round.note)
    learned = Run.objects.get(round=round, purpose="policy")
    assert learned.inputs["engine"] == {"name": "verl", "settings": {"trainer.n_gpus_per_node": "8"}}
    assert learned.inputs["placement"]["found"]["mark"] == Inventory(1, 8, 80.0).mark
    assert "engine" not in Run.objects.get(round=round, purpose="reward").inputs
