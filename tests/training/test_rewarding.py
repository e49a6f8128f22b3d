"""Loops whose reward model has to be told something, or be a judge: principles, and what answers are held against."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from annotation.datasets import split
from annotation.models import Campaign, Event, User
from annotation.told import of
from tests.training.round_world import first, for_candidate, go, judge_all
from training import paths
from training.errors import Invalid, WrongState
from training.models import GateReport, Loop, ModelVersion, Round, Run
from training.recipes.loop import loop_settings
from training.services import orders, rounds, runs, snapshots, versions

pytestmark = pytest.mark.django_db(transaction=True)

State = Round.State
NAMED = {"principles": "clear; kind", "refresh_reward": False}


def reward_model(campaign: Campaign, base: Any, recipe: str) -> ModelVersion:
    """Return a reward model in use that `recipe` made; its weights are for tests of the core."""
    view = {"principle-reward": "principles"}.get(recipe, "pairs")
    made_by = runs.create(
        campaign=campaign, recipe=recipe, knobs={}, actor=None, inputs={"model": str(base), "data": f"{view}.jsonl"}
    )
    Run.objects.filter(pk=made_by.pk).update(state=Run.State.SUCCEEDED)
    ModelVersion.objects.filter(campaign=campaign, kind="reward").update(state=ModelVersion.State.RETIRED)
    return versions.add(
        campaign=campaign, kind="reward", path=str(base), state=ModelVersion.State.PROMOTED, run=made_by
    )


def knobs(round: Round, purpose: str) -> dict[str, Any]:
    found: dict[str, Any] = Run.objects.get(round=round, purpose=purpose).recipe["knobs"]
    return found


def test_a_loop_names_the_principles_that_its_model_judges_by_everywhere(
    loop: Loop, campaign: Campaign, annotator: User, lead: User, base: Any
) -> None:
    reward = reward_model(campaign, base, "principle-reward")
    with pytest.raises(WrongState, match="reward-0 judges by principles"):
        rounds.start_round(loop=loop, actor=lead)
    with pytest.raises(Invalid) as refused:
        rounds.configure(loop=loop, settings={"principles": "clear"}, actor=lead)
    assert "reads no principles" in refused.value.errors["refresh_reward"][0]

    client = APIClient()
    client.force_authenticate(lead)
    sent = {**NAMED, "policy_recipe": "rloo", "auto_continue": False}
    answer = client.patch(reverse("api-loop", args=[campaign.pk]), {"settings": sent}, format="json")
    assert answer.status_code == 200 and answer.json()["settings"]["principles"] == "clear; kind"
    loop.refresh_from_db()
    round = rounds.start_round(loop=loop, actor=lead)
    go(round)
    said = str(of(Event.objects.get(action="round.sampling").detail["note"]))
    assert "The reward model judges by: clear; kind." in said
    assert knobs(round, "sample")["principles"] == "clear; kind"
    page = Client()
    page.force_login(lead)
    assert "clear; kind" in page.get(reverse("loop", args=[campaign.pk])).content.decode()

    judge_all(campaign, annotator, first)
    go(round)
    learned = Run.objects.get(round=round, purpose="policy")
    assert learned.inputs["scorers"] == {"reward": reward.path}
    assert learned.recipe["knobs"]["principles"] == "clear; kind"
    assert learned.recipe["parts"]["combine"] == "mean", "rloo goes by one opinion, and two principles are two"
    assert knobs(round, "gate")["principles"] == "clear; kind"
    judge_all(campaign, annotator, lambda task: -3 if task.meta.get("candidate") == 1 else 3)
    assert go(round).state == State.PROMOTED, str(round.note)
    (figure,) = (one for one in GateReport.objects.get().figures if one["name"] == "reward_win_rate")
    assert "The reward model judges by: clear; kind." in str(of(figure["explanation"]))

    # Of one principle the recipe is as it is; of several a recipe of several opinions goes by each.
    for index, more in enumerate(({"principles": "kind"}, {"policy_recipe": "ppo-worst-case"}), start=2):
        later = Round.objects.create(loop=loop, index=index, policy=round.policy, state=State.CANCELLED)
        learned = orders.policy(later, loop_settings({**sent, **more}), snapshot=None, data="prompts.jsonl")
        assert "parts" not in learned.recipe and learned.recipe["knobs"]["principles"]


def test_a_principle_model_labels_and_weighs_pairs_by_the_principles(
    loop: Loop, campaign: Campaign, annotator: User, lead: User, base: Any
) -> None:
    reward_model(campaign, base, "principle-reward")
    rounds.configure(loop=loop, settings={**NAMED, "labeller": "explicit", "policy_recipe": "dpo-margin"}, actor=lead)
    round = rounds.start_round(loop=loop, actor=lead)
    go(round)
    judge_all(campaign, annotator, for_candidate)
    assert go(round).state == State.PROMOTED, str(round.note)
    for purpose in ("sample", "policy", "gate"):
        assert knobs(round, purpose)["principles"] == "clear; kind"


def test_principles_without_a_model_that_reads_them_are_refused(
    loop: Loop, round: Round, campaign: Campaign, lead: User, base: Any
) -> None:
    rounds.configure(loop=loop, settings=NAMED, actor=lead)
    assert go(round).state == State.STALLED and "no reward model is in use that could" in str(round.note)
    reward_model(campaign, base, "bradley-terry")
    resumed = go(rounds.resume(round=round, actor=lead))
    assert resumed.state == State.STALLED and "reward-0 reads no principles" in str(resumed.note)
    rounds.configure(loop=loop, settings={"principles": ""}, actor=lead)
    assert go(rounds.resume(round=round, actor=lead)).state == State.LABELLING


def test_a_round_trains_a_judge_that_holds_answers_against_those_that_people_chose(
    loop: Loop, round: Round, campaign: Campaign, annotator: User, lead: User
) -> None:
    """The audit slice and what the gate holds out are no answers to learn against; who chose is in the lineage."""
    chosen = {"reward_recipe": "pairwise-generative", "judge_against": "chosen", "policy_recipe": "ppo"}
    client = Client()
    client.force_login(lead)
    shown = client.get(reverse("loop-edit", args=[campaign.pk])).context["form"].initial
    sent = {name: value for name, value in shown.items() if value is not False} | chosen
    assert client.post(reverse("loop-edit", args=[campaign.pk]), sent).status_code == 302
    go(round)
    judge_all(campaign, annotator, first)
    go(round)
    assert round.state == State.GATING, str(round.note)
    judge = Run.objects.get(round=round, purpose="reward")
    assert judge.recipe["name"] == "pairwise-generative" and judge.output is not None
    learned = Run.objects.get(round=round, purpose="policy")
    assert learned.inputs["scorers"] == {"reward": judge.output.path}
    assert learned.recipe["knobs"]["judge_against"] == "chosen"
    assert learned.snapshot is not None and learned.snapshot.view == "prompts"
    rows = list(snapshots.lines(learned.snapshot))
    assert sum(row["chosen"] is not None for row in rows) == 8 and {split(row["id"]) for row in rows} == {"train"}
    told = str(of(Event.objects.get(action="round.training").detail["note"]))
    assert "learns by ppo from its own answers to 8 prompts" in told
    assert learned.output is not None and versions.lineage(learned.output)["annotators"] == 1


@pytest.mark.parametrize(
    ("values", "field", "why"),
    [
        ({"judge_against": "chosen"}, "judge_against", "dpo learns from pairs"),
        ({"judge_against": "rivals", "policy_recipe": "rloo"}, "judge_against", "Set reward_recipe to pairwise"),
        ({"policy_recipe": "grpo-pairwise"}, "policy_recipe", "Set reward_recipe to pairwise"),
        ({"reward_recipe": "pairwise-generative", "selection": "bald"}, "reward_recipe", "an ensemble of scores"),
    ],
)
def test_judges_that_do_not_go_with_the_rest(loop: Loop, lead: User, values: dict, field: str, why: str) -> None:
    with pytest.raises(Invalid) as refused:
        rounds.configure(loop=loop, settings=values, actor=lead)
    assert why in refused.value.errors[field][0]


def test_a_model_that_scores_cannot_stand_in_for_a_judge(loop: Loop, campaign: Campaign, lead: User, base: Any) -> None:
    reward_model(campaign, base, "bradley-terry")
    settings = {"policy_recipe": "grpo-pairwise", "refresh_reward": False}
    rounds.configure(loop=loop, settings=settings, actor=lead)
    with pytest.raises(WrongState, match="reward-0 scores each answer by itself"):
        rounds.start_round(loop=loop, actor=lead)
    reward_model(campaign, base, "pairwise-generative")
    assert rounds.start_round(loop=loop, actor=lead).state == State.DRAFTING


JUDGED = {"reward_recipe": "pairwise-generative"}
TASKS = '{"sums": {"recipe": "cgpo-crraft", "weight": 2, "domains": ["algebra"]}, "*": {"recipe": "cgpo-crpg"}}'


def with_domains(path: Path) -> None:
    """Give every second prompt of a file a domain."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    told = [row | ({"domain": "algebra"} if number % 2 else {}) for number, row in enumerate(rows)]
    path.write_text("".join(json.dumps(row) + "\n" for row in told))


def test_a_candidate_learns_several_tasks_by_form_rest_and_command(
    loop: Loop, campaign: Campaign, annotator: User, lead: User, prompts_file: Path
) -> None:
    chosen = {"policy_recipe": "task-mix", "tasks": TASKS, "iterations": 2}
    client, api = Client(), APIClient()
    client.force_login(lead)
    api.force_authenticate(lead)
    shown = client.get(reverse("loop-edit", args=[campaign.pk])).context["form"].initial
    sent = {name: value for name, value in shown.items() if value is not False} | chosen
    assert client.post(reverse("loop-edit", args=[campaign.pk]), sent).status_code == 302
    loop.refresh_from_db()
    assert loop.settings["tasks"] == TASKS and loop.settings["policy_recipe"] == "task-mix"
    to = reverse("api-loop", args=[campaign.pk])
    nobody = TASKS.replace("algebra", "proofs")
    assert api.patch(to, {"settings": {"tasks": nobody}}, format="json").json()["settings"]["tasks"] == nobody
    told = StringIO()
    command = ["loop", "--campaign", str(campaign.pk), "--actor", lead.username]
    with pytest.raises(CommandError, match="No prompt of the file is for the task sums"):
        call_command(*command, "--start", stdout=StringIO())
    with_domains(prompts_file)
    call_command(*command, "--set", f"tasks={TASKS}", "--start", stdout=told)
    assert "Round 1 has begun." in told.getvalue()

    round = Round.objects.get(loop=loop)
    go(round)
    judge_all(campaign, annotator, first)
    go(round)
    assert round.state == State.GATING, str(round.note)
    learned = Run.objects.get(round=round, purpose="policy")
    assert learned.recipe["name"] == "task-mix" and learned.recipe["knobs"]["tasks"] == TASKS
    assert learned.recipe["knobs"]["iterations"] == 2 and set(learned.inputs["scorers"]) == {"reward"}
    rows = [json.loads(line) for line in Path(paths.resolve(learned.inputs["data"])).read_text().splitlines()]
    assert {row.get("domain", "") for row in rows} == {"", "algebra"}
    said = str(of(Event.objects.get(action="round.training").detail["note"]))
    assert "Its tasks: sums (cgpo-crraft), * (cgpo-crpg)." in said
    judge_all(campaign, annotator, lambda task: -3 if task.meta.get("candidate") == 1 else 3)
    assert go(round).state == State.PROMOTED, str(round.note)


def test_a_principle_model_judges_which_answers_of_a_candidate_are_paid_for(
    loop: Loop, campaign: Campaign, annotator: User, lead: User, base: Any
) -> None:
    """It is not the reward model in use, which each round trains anew."""
    keeper = reward_model(campaign, base, "principle-reward")
    ModelVersion.objects.filter(pk=keeper.pk).update(state=ModelVersion.State.CANDIDATE)
    chosen = {"policy_recipe": "cgpo-crpg", "principle_model": "reward-7"}
    chosen |= {"policy_parts": "constrain = principled-judges", "policy_settings": "judged_principles = clear; kind"}
    rounds.configure(loop=loop, settings=chosen, actor=lead)
    with pytest.raises(WrongState, match="no reward model called reward-7"):
        rounds.start_round(loop=loop, actor=lead)
    rounds.configure(loop=loop, settings={"principle_model": ""}, actor=lead)
    with pytest.raises(WrongState, match="no principle model is there to judge that"):
        rounds.start_round(loop=loop, actor=lead)
    rounds.configure(loop=loop, settings={"principle_model": keeper.label}, actor=lead)
    round = rounds.start_round(loop=loop, actor=lead)
    go(round)
    judge_all(campaign, annotator, first)
    go(round)
    assert round.state == State.GATING, str(round.note)
    learned, trained = (Run.objects.get(round=round, purpose=purpose) for purpose in ("policy", "reward"))
    assert trained.output is not None and learned.recipe["parts"]["constrain"] == "principled-judges"
    assert learned.recipe["knobs"]["judged_principles"] == "clear; kind"
    assert learned.inputs["scorers"] == {"reward": trained.output.path, "principle": keeper.path}
    said = str(of(Event.objects.get(action="round.training").detail["note"]))
    assert "What does not keep its principles, by reward-0, earns nothing." in said

    # A task may be judged by it as well, by principles of its own.
    of_tasks = '{"*": {"recipe": "cgpo-crpg", "parts": {"constrain": "principled-judges"}}}'
    settings = loop_settings({"policy_recipe": "task-mix", "tasks": of_tasks, "principle_model": "reward-0"})
    later = Round.objects.create(loop=loop, index=2, policy=round.policy, state=State.CANCELLED)
    mixed = orders.policy(later, settings, snapshot=None, data="prompts.jsonl")
    assert mixed.inputs["scorers"] == {"reward": trained.output.path, "principle": keeper.path}
    assert "parts" not in mixed.recipe


@pytest.mark.parametrize(
    ("values", "field", "why"),
    [
        ({}, "tasks", "Name the tasks that a candidate learns, like this"),
        ({"tasks": "{"}, "tasks", "This is no JSON"),
        ({"tasks": '{"*": {"recipe": "dpo"}}'}, "tasks", "does not learn from the policy's own answers"),
        ({"tasks": '{"*": {"recipe": "cgpo-crpg", "reward": "gold"}}'}, "tasks", "These tasks ask gold"),
        ({"tasks": TASKS, "judge_against": "chosen", **JUDGED}, "judge_against", "of which domain their prompt is"),
        ({"tasks": TASKS, "principles": "a; b", "refresh_reward": False}, "principles", "2 principles give as many"),
        ({"tasks": TASKS, "gate_human_pairs": 0}, "gate_human_pairs", "cannot be the one that decides"),
        ({"tasks": TASKS, "selection": "bald"}, "policy_recipe", "goes by one opinion"),
        ({"tasks": '{"*": {"recipe": "grpo-pairwise"}}'}, "policy_recipe", "takes a judge that reads two answers"),
        (
            {"tasks": '{"*": {"recipe": "cgpo-crpg", "parts": {"constrain": "judges"}}}'},
            "refresh_cost",
            "no cost model can be trained",
        ),
    ],
)
def test_tasks_that_a_loop_cannot_teach(loop: Loop, lead: User, values: dict, field: str, why: str) -> None:
    with pytest.raises(Invalid) as refused:
        rounds.configure(loop=loop, settings={"policy_recipe": "task-mix", **values}, actor=lead)
    assert why in refused.value.errors[field][0]


@pytest.mark.parametrize("made_by, part", [("gated-objectives", "gated"), ("multi-objective", "weighted-sum")])
def test_no_run_and_no_loop_climbs_the_first_of_several_attributes(
    loop: Loop, campaign: Campaign, lead: User, base: Any, made_by: str, part: str
) -> None:
    """Form, REST, command line and a loop ask the same service; what says how scores are combined is accepted."""
    reward = reward_model(campaign, base, made_by)
    inputs = {"model": str(base), "data": "prompts.jsonl", "scorers": {"reward": reward.path}}
    order = {"campaign": campaign, "recipe": "rloo", "knobs": {}, "actor": lead, "inputs": inputs}
    with pytest.raises(Invalid) as refused:
        runs.create(**order)
    assert part in refused.value.errors["combine"][0]
    combined = {"parts": {"combine": part}}
    assert runs.create(**order, **combined).recipe["parts"]["combine"] == part
    assert runs.create(**{**order, "recipe": "grpo-objectives"}).recipe["name"] == "grpo-objectives"

    client = APIClient()
    client.force_authenticate(lead)
    policy = versions.current(campaign, "policy")
    assert policy is not None
    asked = {"recipe": "rloo", "parent": policy.pk, "reward": reward.pk}
    answer = client.post(reverse("api-runs", args=[campaign.pk]), asked, format="json")
    assert answer.status_code == 422 and part in answer.json()["errors"]["combine"][0]

    rounds.configure(loop=loop, settings={"policy_recipe": "rloo", "refresh_reward": False}, actor=lead)
    with pytest.raises(WrongState, match=f"Choose.*{part}"):
        rounds.start_round(loop=loop, actor=lead)
    rounds.configure(loop=loop, settings={"policy_parts": f"combine = {part}"}, actor=lead)
    assert rounds.start_round(loop=loop, actor=lead).pk
