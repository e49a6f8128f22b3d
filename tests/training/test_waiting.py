"""Runs that start from what other runs make: stages ordered at once, each begun when the one before has its model."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command

from annotation.models import Campaign, User
from frontend.forms.runs import RunForm
from tests.factories import make_campaign, make_task
from tests.training.workers import toy
from training.errors import Invalid, WrongState
from training.models import ModelVersion, Run, Snapshot
from training.recipes import RECIPES
from training.services import execution, recovery, runs, waiting

pytestmark = pytest.mark.django_db(transaction=True)


def order(campaign: Campaign, recipe: str, **values: Any) -> Run:
    values.setdefault("inputs", {"data": "snapshots/none.jsonl"})
    return runs.create(campaign=campaign, recipe=recipe, knobs={}, actor=None, **values)


@pytest.fixture
def stages(campaign: Campaign, policy: ModelVersion) -> list[Run]:
    """Return imitation, a reward model from what it makes, and a policy that starts from one and climbs the other."""
    sft = order(campaign, "sft", parent=policy)
    reward = order(campaign, "bradley-terry", awaits={"model": sft.pk})
    ppo = order(campaign, "ppo", awaits={"model": sft.pk, "reward": reward.pk})
    return [sft, reward, ppo]


def states(stages: list[Run]) -> list[str]:
    return [Run.objects.get(pk=run.pk).state for run in stages]


def test_a_stage_begins_when_what_it_reads_has_been_made(stages: list[Run]) -> None:
    assert states(stages) == ["queued", "waiting", "waiting"]
    assert execution.execute(stages[1].pk, command=toy()) is None, "nobody may take it up before"
    sft = execution.execute(stages[0].pk, command=toy())
    assert sft is not None and sft.output is not None
    assert states(stages) == ["succeeded", "queued", "waiting"], "the last one still waits for the reward model"
    reward = execution.execute(stages[1].pk, command=toy())
    assert reward is not None and reward.output is not None and reward.parent == sft.output
    assert states(stages) == ["succeeded", "succeeded", "queued"]
    ppo = Run.objects.get(pk=stages[2].pk)
    assert (ppo.parent, ppo.inputs["model"]) == (sft.output, sft.output.path)
    assert ppo.inputs["scorers"] == {"reward": reward.output.path} and "awaits" not in ppo.inputs
    done = execution.execute(ppo.pk, command=toy())
    assert done is not None and done.output is not None and done.output.parent == sft.output


def test_a_stage_waits_on_while_the_one_before_fails_and_is_tried_again(stages: list[Run]) -> None:
    execution.execute(stages[0].pk, command=toy(mode="explains"))
    assert states(stages) == ["failed", "waiting", "waiting"]
    assert [one["run"].state for one in waiting.awaited(stages[1])] == ["failed"]
    runs.retry(run=Run.objects.get(pk=stages[0].pk), actor=None)
    execution.execute(stages[0].pk, command=toy())
    assert states(stages) == ["succeeded", "queued", "waiting"]


def test_a_stage_that_was_stopped_while_it_waited_takes_what_has_been_made_since(stages: list[Run]) -> None:
    runs.cancel(run=stages[1], actor=None)
    execution.execute(stages[0].pk, command=toy())
    assert states(stages) == ["succeeded", "cancelled", "waiting"]
    again = runs.retry(run=Run.objects.get(pk=stages[1].pk), actor=None)
    assert again.state == Run.State.QUEUED and again.parent is not None and again.inputs["model"] == again.parent.path
    runs.cancel(run=stages[2], actor=None)
    assert runs.retry(run=Run.objects.get(pk=stages[2].pk), actor=None).state == Run.State.WAITING
    with pytest.raises(WrongState):
        runs.retry(run=Run.objects.get(pk=stages[2].pk), actor=None)


def test_recovery_leaves_a_run_that_waits_alone(stages: list[Run]) -> None:
    Run.objects.update(heartbeat_at="2020-01-01T00:00:00Z")
    recovery.recover_lost()
    assert states(stages) == ["queued", "waiting", "waiting"]


def test_what_is_done_already_is_taken_at_once(campaign: Campaign, stages: list[Run]) -> None:
    done = execution.execute(stages[0].pk, command=toy())
    assert done is not None
    late = order(campaign, "dpo", awaits={"model": stages[0].pk})
    assert (late.state, late.parent) == (Run.State.QUEUED, done.output)


@pytest.mark.parametrize(
    ("recipe", "awaits", "sentence"),
    [
        ("dpo", {"model": "reward"}, "makes no model that can stand here"),
        ("ppo", {"model": "sft", "reward": "sft"}, "makes no model that can stand here"),
        ("best-of-n", {"model": "sft"}, "Only a run that trains"),
        ("dpo", {"model": "foreign"}, "has no run"),
        ("dpo", {"model": "failed"}, "Try it again first"),
        ("ppo", {"model": "sft"}, "choose the model that gives them"),
    ],
)
def test_what_cannot_be_waited_for_is_said(
    campaign: Campaign, policy: ModelVersion, lead: User, recipe: str, awaits: dict[str, str], sentence: str
) -> None:
    other = make_campaign("Another", lead=lead)
    there = {
        "sft": order(campaign, "sft", parent=policy),
        "reward": order(campaign, "bradley-terry", parent=policy),
        "failed": order(campaign, "sft", parent=policy),
        "foreign": order(other, "sft", inputs={"model": "org/model", "data": "x.jsonl"}),
    }
    Run.objects.filter(pk=there["failed"].pk).update(state=Run.State.FAILED)
    with pytest.raises(Invalid, match=sentence):
        order(campaign, recipe, awaits={name: there[which].pk for name, which in awaits.items()})
    assert not Run.objects.filter(state=Run.State.WAITING).exists()


def test_stages_are_ordered_from_a_terminal(campaign: Campaign, stages: list[Run]) -> None:
    make_task(campaign)
    call_command("run", campaign=campaign.name, recipe="ppo", parent=f"run-{stages[0].pk}",
                 scorer=[f"reward=run-{stages[1].pk}"], follow=False)  # fmt: skip
    run = Run.objects.latest("pk")
    assert (run.state, run.inputs["awaits"]) == ("waiting", {"model": stages[0].pk, "reward": stages[1].pk})


def test_a_run_that_nobody_told_is_found_by_the_next_beat(stages: list[Run]) -> None:
    """As when it was tried again in the moment in which the run that it waits for ended."""
    runs.cancel(run=stages[1], actor=None)
    execution.execute(stages[0].pk, command=toy())
    Run.objects.filter(pk=stages[1].pk).update(state=Run.State.WAITING, heartbeat_at="2020-01-01T00:00:00Z")
    recovery.recover_lost()
    assert states(stages)[1] == "queued"


def test_a_guard_that_waits_for_its_model_leaves_out_what_that_learned_from(
    campaign: Campaign, policy: ModelVersion, lead: User
) -> None:
    with pytest.raises(Invalid, match="makes no model that can stand here"):
        order(campaign, "model-guard", awaits={"model": order(campaign, "sft", parent=policy).pk})
    cost = order(campaign, "cost-model", parent=policy)
    guard = order(campaign, "model-guard", awaits={"model": cost.pk})
    done = execution.execute(cost.pk, command=toy())
    assert done is not None and done.output is not None
    guard.refresh_from_db()
    assert (guard.state, guard.parent) == (Run.State.QUEUED, done.output) and "known" in guard.inputs


def test_a_guard_does_not_begin_where_nobody_can_tell_what_its_model_learned_from(
    campaign: Campaign, policy: ModelVersion, lead: User
) -> None:
    learned = Snapshot.objects.create(
        campaign=campaign, view="safer_pairs", path="snapshots/gone.jsonl", sha256="0" * 64, rows=1, created_by=lead
    )
    cost = order(campaign, "cost-model", parent=policy, snapshot=learned, inputs={})
    guard = order(campaign, "model-guard", awaits={"model": cost.pk})
    execution.execute(cost.pk, command=toy())
    guard.refresh_from_db()
    assert guard.state == Run.State.FAILED and "snapshots/gone.jsonl" in str(guard.error)


def test_a_head_stands_only_on_a_model_of_the_recipe_it_is_for(
    campaign: Campaign, policy: ModelVersion, stages: list[Run]
) -> None:
    """The form offers no other, and what is ordered otherwise is refused before a worker takes it up."""
    recipe = RECIPES["latent-user"]
    sft, reward, _ = stages
    assert waiting.may_follow(recipe, reward) and not waiting.may_follow(recipe, sft)
    with pytest.raises(Invalid, match="stands on a model of the recipe bradley-terry"):
        order(campaign, "latent-user", awaits={"model": sft.pk})
    with pytest.raises(Invalid, match="stands on a model of the recipe bradley-terry") as refused:
        order(campaign, "latent-user", parent=policy)
    assert list(refused.value.errors) == ["model"]
    execution.execute(sft.pk, command=toy())
    made = execution.execute(reward.pk, command=toy())
    assert made is not None and made.output is not None
    ensemble = order(campaign, "reward-ensemble", parent=policy)
    other = execution.execute(ensemble.pk, command=toy())
    assert other is not None and other.output is not None
    form = RunForm(recipe=recipe, versions=[policy, made.output, other.output], snapshots=[])
    assert list(form.versions) == [str(made.output.pk)]
    assert "bradley-terry" in form.fields["model"].help_text
    assert order(campaign, "latent-user", parent=made.output).state == Run.State.QUEUED
