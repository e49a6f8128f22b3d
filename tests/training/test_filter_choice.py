"""The filter of a policy's answers that a report on the reward model speaks for: in pf-ppo's form and in a loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.models import Campaign, User
from tests.training.round_world import first, go, judge_all
from training.models import Loop, ModelVersion, Round, Run, Snapshot
from training.recipes.assembled import to_json
from training.recipes.loop import LoopSettings
from training.services import filter_choice, rounds, snapshots, versions

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def reward(campaign: Campaign, tmp_path: Path) -> ModelVersion:
    return registered(campaign, tmp_path / "reward", state=ModelVersion.State.PROMOTED)


def registered(campaign: Campaign, folder: Path, *, state: str = ModelVersion.State.CANDIDATE) -> ModelVersion:
    folder.mkdir()
    found = versions.register(campaign=campaign, kind="reward", path=str(folder), actor=None, state=state)
    found.recipe = to_json("bradley-terry", {}, None)
    found.save(update_fields=["recipe"])
    return found


def measured(reward: ModelVersion, *, recipe: str = "reward-accuracy", **squares: float) -> Run:
    """Return a report that tells these R² by filter."""
    told = {f"trust_{name}": {"estimate": one, "low": 0.0, "high": 1.0, "n": 60} for name, one in squares.items()}
    of_gold: dict[str, Any] = {"inputs": {"scorers": {"reward": reward.path, "gold": "gold"}}}
    return Run.objects.create(
        campaign=reward.campaign,
        kind=Run.Kind.EVALUATE,
        recipe=to_json(recipe, {}, None),
        state=Run.State.SUCCEEDED,
        result={"metrics": told, "counts": {"weighed": 240} if squares else {}},
        heartbeat_at=timezone.now(),
        **({"parent": reward} if recipe == "reward-accuracy" else of_gold),
    )


def test_the_newest_report_of_the_model_chooses(reward: ModelVersion, tmp_path: Path) -> None:
    assert filter_choice.of("pf-ppo", reward) is None and filter_choice.of("pf-ppo", None) is None
    measured(reward, all=0.43, best=0.1, best_and_random=0.5, best_and_worst=0.61)
    measured(reward)  # one that tells none of it, as of a campaign with two answers of each prompt
    chosen = filter_choice.of("pf-ppo", reward)
    assert chosen is not None and chosen.part == "best-and-worst"
    assert "R² of reward-0: 0.61 against 0.43 of all answers" in str(chosen.why) and "240 answers" in str(chosen.why)
    assert filter_choice.of("ppo", reward) is None, "which filters nothing"
    measured(reward, all=0.43, best=0.7, best_and_random=0.5)
    best, beside = filter_choice.of("pf-ppo", reward), {"advantage": "leave-one-out", "update": "clipped"}
    assert best is not None and best.part == "best"
    other = filter_choice.of("pf-ppo", reward, parts={**beside, "filter": "best"})
    assert other is not None and other.part == "best-and-random", "one answer has no other to be held against"
    by_loop = LoopSettings(policy_recipe="pf-ppo", policy_parts="advantage = leave-one-out\nupdate = clipped")
    assert filter_choice.of_round(by_loop, reward) == other
    measured(reward, recipe="best-of-n", all=0.43, best_and_random=0.55, best_and_worst=0.5)
    by_gold = filter_choice.of("pf-ppo", reward)
    assert by_gold is not None and by_gold.part == "best-and-random"
    measured(reward, all=0.43, best_and_worst=0.44)
    none = filter_choice.of("pf-ppo", reward)
    assert none is not None and none.part == "" and "No filter" in str(none.why)

    newer = registered(reward.campaign, tmp_path / "newer")
    assert filter_choice.of("pf-ppo", newer) is None
    like = filter_choice.of("pf-ppo", newer, alike=True)
    assert like is not None and like.run == none.run and "R² of reward-0" in str(like.why)
    ModelVersion.objects.filter(pk=newer.pk).update(recipe=to_json("pairwise-generative", {}, None))
    newer.refresh_from_db()
    assert filter_choice.of("pf-ppo", newer, alike=True) is None, "another kind of model errs elsewhere"


def test_the_form_has_it_chosen_and_says_why(
    reward: ModelVersion, policy: ModelVersion, lead: User, client: Any
) -> None:
    client.force_login(lead)
    address = reverse("run-new", args=[reward.campaign_id, "pf-ppo"])
    usual = client.get(address)
    assert usual.context["parts"]["filter"] == "best-and-random" and "is chosen by R²" not in usual.content.decode()
    measured(reward, all=0.43, best_and_random=0.5, best_and_worst=0.61)
    page = client.get(address)
    assert page.context["parts"]["filter"] == "best-and-worst"
    assert "best-and-worst is chosen by R² of reward-0: 0.61 against 0.43" in page.content.decode()
    assert client.get(address, {"part-filter": "best-and-random"}).context["parts"]["filter"] == "best-and-random"
    other = client.get(reverse("run-new", args=[reward.campaign_id, "rloo"]))
    assert other.context["parts"]["filter"] == "" and "is chosen by R²" not in other.content.decode()


def test_rest_takes_it_where_no_filter_is_named_and_says_why(
    reward: ModelVersion, policy: ModelVersion, prompts_file: Path, lead: User
) -> None:
    client = APIClient()
    client.force_authenticate(lead)
    snapshot = snapshots.freeze(campaign=reward.campaign, view="prompts", filters={}, actor=lead)
    Snapshot.objects.filter(pk=snapshot.pk).update(rows=1)
    address = reverse("api-runs", args=[reward.campaign_id])
    body = {"recipe": "pf-ppo", "parent": policy.pk, "reward": reward.pk, "snapshot": snapshot.pk}
    usual = client.post(address, body, format="json").json()
    assert "parts" not in usual["recipe"] and usual["filter_choice"] is None
    report = measured(reward, all=0.43, best_and_random=0.5, best_and_worst=0.61)
    run = client.post(address, body, format="json").json()
    assert run["recipe"]["parts"]["filter"] == "best-and-worst"
    assert (run["filter_choice"]["part"], run["filter_choice"]["run"]) == ("best-and-worst", report.pk)
    assert "is chosen by R² of reward-0: 0.61 against 0.43" in run["filter_choice"]["why"]
    named = client.post(address, {**body, "parts": {"filter": "best-and-random"}}, format="json").json()
    assert "parts" not in named["recipe"] and named["filter_choice"] is None


@pytest.mark.parametrize(("named", "filtered"), [("", "best-and-worst"), ("filter = best-and-random", None)])
def test_a_loop_takes_it_unless_its_settings_name_one(
    named: str,
    filtered: str | None,
    reward: ModelVersion,
    loop: Loop,
    round: Round,
    campaign: Campaign,
    annotator: User,
    lead: User,
) -> None:
    measured(reward, all=0.43, best_and_random=0.5, best_and_worst=0.61)
    settings = {"policy_recipe": "pf-ppo", "policy_parts": named, "refresh_reward": False}
    rounds.configure(loop=loop, settings=settings, actor=lead)
    go(round)
    judge_all(campaign, annotator, first)
    rounds.advance_far(round.pk)
    round.refresh_from_db()
    learned = Run.objects.get(round=round, purpose="policy")
    # What a recipe has usually is not stored as chosen.
    assert learned.recipe.get("parts", {}).get("filter") == filtered
    assert ("is chosen by R²" in str(round.note)) == (filtered is not None)
    assert learned.inputs.get("filter_choice", {}).get("part") == filtered
