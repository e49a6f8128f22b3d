"""Loops whose reward model has to be told something: the principles by which it judges."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from annotation.models import Campaign, Event, User
from annotation.told import of
from tests.training.round_world import first, for_candidate, go, judge_all
from training.errors import Invalid, WrongState
from training.models import GateReport, Loop, ModelVersion, Round, Run
from training.recipes.loop import loop_settings
from training.services import orders, rounds, runs, versions

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
