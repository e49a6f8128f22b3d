"""Runs that another engine does, from the order to the version: by the stand-in for verl of `tests.core`."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import psutil
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from rest_framework.test import APIClient

from annotation.models import Campaign, User
from tests.factories import make_task
from training import launch, paths
from training.errors import Invalid, TrainingError
from training.models import ModelVersion, Run
from training.services import execution, runs, versions

STAND_IN = Path(__file__).parents[1] / "core" / "stand_in"
KNOBS = {"iterations": 2, "prompts_per_iteration": 3, "samples_per_prompt": 2, "batch_size": 6, "eval_share": 0.3}

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def verl(settings) -> None:
    settings.ATTUNE_ENGINES = {"verl": sys.executable}


def order(campaign: Campaign, policy: ModelVersion, lead: User, **more):
    asked = {"name": more.pop("engine", "verl"), "settings": more.pop("own", {})}
    inputs = {"data": "prompts.jsonl", "scorers": {"reward": "rewards/1"}, "engine": asked, **more.pop("inputs", {})}
    knobs = {**KNOBS, **more.pop("knobs", {})}
    given = {"recipe": "grpo", "knobs": knobs, "inputs": inputs, **more}
    return runs.create(campaign=campaign, actor=lead, parent=policy, **given)


def test_what_an_engine_cannot_do_is_refused_when_the_run_is_ordered(
    campaign: Campaign, policy: ModelVersion, lead: User, verl: None, settings
) -> None:
    run = order(campaign, policy, lead, own={"trainer.n_gpus_per_node": "8"})
    told = launch.spec_of(run).engine
    assert told == {"name": "verl", "python": sys.executable, "settings": {"trainer.n_gpus_per_node": "8"}}
    for more, field, says in (
        ({"own": {"trainer.nnode": 2}}, "engine_settings", "trainer.nnode: Did you mean trainer.nnodes?"),
        ({"knobs": {"missing_end_penalty": 1.0}}, "missing_end_penalty", "verl has no such setting."),
        ({"recipe": "macro-ppo"}, "engine", "verl has no counterpart of segment/ngram."),
        ({"engine": "areal"}, "engine", "There is no engine areal here; there is verl."),
        ({"recipe": "dpo", "knobs": {}}, "engine", "An engine does only runs on the policy's own answers."),
    ):
        if more.get("recipe") == "dpo":
            with pytest.raises(Invalid) as wrong:
                inputs = {"data": "x", "engine": {"name": "verl", "settings": {}}}
                runs.create(campaign=campaign, recipe="dpo", knobs={}, actor=lead, parent=policy, inputs=inputs)
        else:
            with pytest.raises(Invalid) as wrong:
                order(campaign, policy, lead, **more)
        assert wrong.value.errors[field][0].startswith(says), wrong.value.errors
    settings.ATTUNE_ENGINES = {"areal": sys.executable}
    with pytest.raises(Invalid) as wrong:
        order(campaign, policy, lead, engine="areal")
    assert wrong.value.errors["kl_weight"] == ["Set it to 0 for AReaL."]
    own = {"allocation_mode": "vllm[rollout]:d2|fsdp[actor]:d4"}
    other = order(campaign, policy, lead, engine="areal", own=own, knobs={"kl_weight": 0.0})
    assert launch.spec_of(other).engine == {"name": "areal", "python": sys.executable, "settings": own}
    settings.ATTUNE_ENGINES = {}
    with pytest.raises(Invalid, match="No engine is set up here"):
        order(campaign, policy, lead)
    with pytest.raises(TrainingError, match="This worker has no engine verl: set VERL_PYTHON there"):
        launch.spec_of(run)


def test_ordered_over_rest_and_from_the_command_line(
    campaign: Campaign, policy: ModelVersion, lead: User, verl: None
) -> None:
    for number in range(6):
        make_task(campaign, number=number)
    reward = versions.register(campaign=campaign, kind="reward", path=policy.path, actor=None)
    client = APIClient()
    client.force_authenticate(lead)
    url = f"/api/training/campaigns/{campaign.pk}/runs/"
    body = {"recipe": "grpo", "knobs": KNOBS, "parent": policy.pk, "reward": reward.pk, "engine": "verl"}
    body |= {"engine_settings": {"trainer.nnodes": 2}}
    made = client.post(url, body, format="json")
    assert made.status_code == 201, made.json()
    asked = Run.objects.get(pk=made.json()["id"]).inputs["engine"]
    assert asked == {"name": "verl", "settings": {"trainer.nnodes": 2}}
    wrong = client.post(url, {**body, "engine_settings": {"trainer.nnode": 2}}, format="json")
    assert wrong.status_code == 422
    assert wrong.json()["errors"]["engine_settings"] == ["trainer.nnode: Did you mean trainer.nnodes?"]
    alone = client.post(url, {name: body[name] for name in body if name != "engine"}, format="json")
    assert alone.status_code == 422 and alone.json()["errors"]["engine_settings"] == ["Name the engine as well."]

    line = ["run", "--campaign", str(campaign.pk), "--recipe", "grpo", "--parent", policy.label, "--no-follow"]
    line += [word for name, value in KNOBS.items() for word in ("--knob", f"{name}={value}")]
    line += ["--scorer", f"reward={reward.label}"]
    call_command(*line, "--engine", "verl", "--engine-setting", "trainer.n_gpus_per_node=4", stdout=StringIO())
    assert Run.objects.latest("pk").inputs["engine"]["settings"] == {"trainer.n_gpus_per_node": "4"}
    with pytest.raises(CommandError, match="--engine-setting is for an --engine"):
        call_command(*line, "--engine-setting", "trainer.n_gpus_per_node=4", stdout=StringIO())


VERSIONS = {"verl": "0.9.1", "areal": "1.0.4"}
TITLES = {"verl": "verl 0.9.1", "areal": "AReaL 1.0.4"}


@pytest.fixture
def engines(settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the stand-ins where this interpreter finds them, as the versions that settings are compiled for."""
    for name, version in VERSIONS.items():
        told = tmp_path / "site" / f"{name}-{version}.dist-info"
        told.mkdir(parents=True)
        (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}{os.pathsep}{STAND_IN}")
    settings.ATTUNE_ENGINES = dict.fromkeys(VERSIONS, sys.executable)


@pytest.fixture
def ordered(campaign: Campaign, lead: User, engines: None, tmp_path: Path) -> Callable[[str], Run]:
    """Return what orders a run of the tiny policy, with a reward model that has learned, from the engine named."""
    from tests.core.worlds import make_spec, tiny_policy  # heavy, as the core is
    from training.core.run import main

    start = tiny_policy(tmp_path / "policy")
    reward = make_spec(tmp_path / "reward", "bradley-terry", model=start, max_steps=1, batch_size=4)
    assert main(f"{reward.output}/spec.json") == 0
    prompts = tmp_path / "prompts.jsonl"
    rows = [{"id": f"q{n}", "prompt": [{"role": "user", "content": f"Question {n}?"}]} for n in range(9)]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    policy = versions.register(campaign=campaign, kind="policy", path=str(start), actor=None)
    inputs = {"data": str(prompts), "scorers": {"reward": f"{reward.output}/model"}}

    def by(engine: str) -> Run:
        own = {"kl_weight": 0.0} if engine == "areal" else {}
        return order(campaign, policy, lead, engine=engine, inputs=inputs, knobs={"max_new_tokens": 4, **own})

    return by


@pytest.mark.one_database
@pytest.mark.parametrize("engine", ["verl", "areal"])
def test_what_an_engine_has_trained_becomes_a_version(
    engine: str, ordered: Callable[[str], Run], lead: User, settings
) -> None:
    """With `TRAIN_PROCESSES` above 1 too, as our own process then only asks and answers."""
    settings.ATTUNE_PROCESSES = 2
    run = ordered(engine)
    execution.execute(run.pk)
    run.refresh_from_db()
    assert run.state == Run.State.SUCCEEDED, run.error
    assert (run.step, run.total_steps) == (2, 2) and "reward" in run.progress
    assert run.output is not None and run.output.parent == run.parent and run.output.kind == "policy"
    assert run.result["notes"][0].startswith(f"It was trained by {TITLES[engine]}")
    told = versions.lineage(run.output)
    assert told["run"] == run.pk and [one["label"] for one in told["ancestors"]] == [run.parent.label]
    assert told["base"]["path"] == run.parent.path and told["judgements"] == 0  # a reward model from elsewhere
    client = APIClient()
    client.force_authenticate(lead)
    assert client.get(f"/api/training/versions/{run.output.pk}/").status_code == 200


@pytest.mark.one_database
def test_a_run_that_is_cancelled_ends_with_all_that_areal_has_started(
    ordered: Callable[[str], Run], lead: User
) -> None:
    run = ordered("areal")
    here = paths.run_folder(run.pk) / "engine"
    here.mkdir(parents=True)
    (here / "faults.json").write_text(json.dumps([[1, "stall"]]))  # as an engine that waits for answers

    def cancel_once_it_hangs() -> None:
        deadline = time.monotonic() + 120
        while not (here / "stalled").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        runs.cancel(run=run, actor=lead)
        connection.close()

    asker = threading.Thread(target=cancel_once_it_hangs)
    asker.start()
    execution.execute(run.pk)
    asker.join()
    run.refresh_from_db()
    assert run.state == Run.State.CANCELLED and run.output is None
    for name in ("stalled", "worker"):  # the engine, and what it trains with
        assert not psutil.pid_exists(int((here / name).read_text())), name
