"""The catalogue and a run from a terminal."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from annotation.models import Campaign, User
from tests.factories import judge, make_task
from tests.training.workers import toy
from training import launch
from training.models import ModelVersion, Run


def called(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_recipes_prints_the_catalogue() -> None:
    text = called("recipes")
    for name in ("bradley-terry", "sft", "dpo", "sample", "compare"):
        assert re.search(rf"^{name}  ", text, re.M)
    assert "beta=0.1" in called("recipes", "dpo")
    assert {recipe["name"] for recipe in json.loads(called("recipes", "--json"))} >= {"dpo", "sample"}
    with pytest.raises(CommandError, match="Did you mean dpo"):
        called("recipes", "dpoo")


@pytest.mark.django_db(transaction=True)
def test_run_works_here_and_tells_how_it_went(
    campaign: Campaign, policy: ModelVersion, annotator: User, lead: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_task(campaign, number=1)
    judge(annotator, campaign)
    monkeypatch.setattr(launch, "command_for", lambda processes: toy(steps=4))
    text = called("run", "--campaign", "Shape it", "--recipe", "dpo", "--knob", "beta=0.2", "--here", "--actor", "lead")
    assert "Succeeded, step 4 of 4" in text
    assert "Made by a toy." in text
    assert "It made policy-1." in text
    run = Run.objects.get()
    assert (run.recipe["knobs"]["beta"], run.created_by, run.parent) == (0.2, lead, policy)

    monkeypatch.setattr(launch, "command_for", lambda processes: toy(mode="explains"))
    with pytest.raises(CommandError, match="Choose another snapshot"):
        called("run", "--campaign", str(campaign.pk), "--recipe", "dpo", "--parent", "policy-1", "--here")


@pytest.mark.django_db(transaction=True)
def test_run_queues_for_a_worker_once_there_is_something_to_learn_from(campaign: Campaign, annotator: User) -> None:
    asked = ("run", "--campaign", "Shape it", "--recipe", "dpo", "--model", "org/model", "--no-follow", "--seed", "3")
    with pytest.raises(CommandError, match="There are no pairs yet"):
        called(*asked)
    assert not Run.objects.exists()
    make_task(campaign)
    judge(annotator, campaign)
    text = called(*asked)
    run = Run.objects.get()
    assert text == f"run {run.pk} is queued.\n"
    assert (run.state, run.inputs["model"], run.seed) == (Run.State.QUEUED, "org/model", 3)


@pytest.mark.django_db(transaction=True)
def test_a_loop_is_made_changed_and_started(campaign: Campaign, base: Path, prompts_file: Path) -> None:
    with pytest.raises(CommandError, match="Give --policy and --prompts"):
        called("loop", "--campaign", "Shape it")
    made = ("--policy", str(base), "--prompts", str(prompts_file), "--set", "prompts_per_round=10")
    assert "prompts_per_round=10\n" in called("loop", "--campaign", "Shape it", *made)
    with pytest.raises(CommandError, match="no cost model can be trained from it"):
        called("loop", "--campaign", "Shape it", "--set", "policy_recipe=safe-rlhf")
    with pytest.raises(CommandError, match="decided by the loop's own setting batch_size"):
        called("loop", "--campaign", "Shape it", "--set", 'policy_settings={"batch_size": 4}')
    change = ("--set", "policy_recipe=safe-rlhf", "--set", "refresh_cost=false", "--start")
    said = called("loop", "--campaign", "Shape it", *change)
    assert "policy_recipe=safe-rlhf\n" in said and said.endswith("Round 1 has begun.\n")
    assert campaign.loop.settings["refresh_cost"] is False
    with pytest.raises(CommandError, match="Round 1 is not finished"):
        called("loop", "--campaign", "Shape it", "--start")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--campaign", "None such"], "no campaign None such"),
        (["--campaign", "Shape it", "--parent", "policy-7"], "no version policy-7"),
        (["--campaign", "Shape it", "--snapshot", "77"], "no snapshot 77"),
        (["--campaign", "Shape it", "--knob", "beta"], "NAME=VALUE"),
        (["--campaign", "Shape it", "--knob", "betta=1"], "Did you mean beta"),
        (["--campaign", "Shape it", "--knob", "beta=much"], "beta: Enter a number"),
        (["--campaign", "Shape it", "--actor", "nobody"], "no person called nobody"),
        (["--campaign", "Shape it", "--parent", "policy-0", "--model", "x"], "--model or --parent, not both"),
        (["--campaign", "Shape it", "--scorer", "reward=policy-0"], "policy-0 is a policy, which gives no scores"),
    ],
)
def test_run_says_what_is_missing(campaign: Campaign, policy: ModelVersion, arguments: list[str], reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        called("run", "--recipe", "dpo", "--no-follow", *arguments)
    assert not Run.objects.exists()
