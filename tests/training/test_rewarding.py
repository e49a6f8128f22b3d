"""Loops whose reward model has to be told something, or be a judge: principles, and what answers are held against."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from annotation.datasets import split
from annotation.models import Campaign, Event, User
from annotation.told import of
from tests.training.round_world import first, for_candidate, go, judge_all
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
