"""Rounds whose candidate learns from dialogues that the policy in use branches, beside what people judged (card 30)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from annotation.models import Campaign, Task, User
from tests.training.round_world import first, go, judge_all
from training import paths
from training.errors import Invalid, WrongState
from training.models import Loop, ModelVersion, Round, Run
from training.recipes.base import RecipeError
from training.recipes.loop import loop_settings
from training.recipes.loop_candidate import asked
from training.services import rounds, snapshots, versions, withdrawals

pytestmark = pytest.mark.django_db(transaction=True)

State = Round.State
REFUEL = {"policy_recipe": "refuel", "reference": "data"}


def serving(campaign: Campaign) -> str:
    found = versions.current(campaign, ModelVersion.Kind.POLICY)
    assert found is not None
    return found.label


def learned_rows(run: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(paths.resolve(run.inputs["data"])).read_text().splitlines()]


def to_training(round: Round, campaign: Campaign, annotator: User, *more: str) -> Round:
    go(round, *more)
    judge_all(campaign, annotator, first)
    return go(round, *more)


def for_new(task: Task) -> int:
    """Prefer the candidate's answer; in a round's own pairs the first."""
    return 2 if task.meta.get("purpose") != "gate" else -3 if task.meta.get("candidate") == 1 else 3


def test_a_candidate_learns_from_branched_dialogues_beside_peoples_pairs(
    loop: Loop, round: Round, campaign: Campaign, annotator: User, lead: User, client: Any
) -> None:
    """The serving policy branches, the reward model of this round scores, and the next round is the new policy's."""
    told = {"dialogue_turns": 3, "dialogue_user": "policy-0", "dialogue_settings": "rows_per_prompt = 2"}
    rounds.configure(loop=loop, settings=REFUEL | told, actor=lead)
    assert to_training(round, campaign, annotator).state == State.GATING, str(round.note)
    rolled, learned = (Run.objects.get(round=round, purpose=purpose) for purpose in ("rollouts", "policy"))
    reward = versions.current(campaign, ModelVersion.Kind.REWARD)
    assert reward is not None and reward.made_by is not None
    assert reward.made_by.pk < rolled.pk < learned.pk, "it scores who has learned what people said in this round"
    assert (rolled.recipe["name"], rolled.parent) == ("refuel-rollouts", round.policy)
    assert rolled.inputs["scorers"] == {"reward": reward.path}
    assert rolled.inputs["beside"] == {"simulator": round.policy.path}
    knobs = {name: rolled.recipe["knobs"][name] for name in ("turns", "rows_per_prompt", "max_new_tokens")}
    assert knobs == {"turns": 3, "rows_per_prompt": 2, "max_new_tokens": loop.settings["max_new_tokens"]}
    found = learned_rows(learned)
    own = [row for row in found if row.get("labelled_by") == reward.label]
    assert (len(own), len(found)) == (10, 18), "ten dialogues, and eight pairs that are not the audit slice"
    assert round.snapshot is not None and found[:8] == list(snapshots.lines(round.snapshot))
    assert own[0]["prompt"][1]["content"] == "curt asks back" and "annotator" not in own[0]
    assert learned.recipe["name"] == "refuel" and "reference" not in learned.inputs, "it starts from who wrote them"
    assert learned.inputs["labelled_by"] == [reward.path] and learned.inputs["rollouts"] == rolled.pk

    judge_all(campaign, annotator, for_new)
    assert go(round).state == State.PROMOTED, str(round.note)
    candidate = round.candidate
    assert candidate is not None and serving(campaign) == candidate.label
    told_of = versions.lineage(candidate)
    assert (told_of["run"], told_of["rollouts"]) == (learned.pk, rolled.pk)
    assert told_of["scored_by"] == [{"id": reward.pk, "label": reward.label}]
    pseudonym = next(iter(snapshots.lines(round.snapshot)))["annotator"]
    assert candidate in withdrawals.uses(pseudonym).versions
    assert "curt asks back" in " ".join(snapshots.learned_texts(candidate).values()), "no gate is decided on these"
    client.force_login(lead)
    page = client.get(reverse("round", args=[round.pk])).content.decode()
    assert "Branch dialogues" in page and reverse("run", args=[rolled.pk]) in page
    assert reverse("run", args=[rolled.pk]) in client.get(reverse("model", args=[candidate.pk])).content.decode()

    second = Round.objects.get(loop=loop, index=2)
    assert go(second).state == State.LABELLING, str(second.note)
    new = Task.objects.filter(campaign=campaign, batch="round-2", state=Task.State.OPEN)
    assert new.count() == 10
    assert all("curt+refuel" in task.content["completions"][0]["text"] for task in new)
    judge_all(campaign, annotator, first)
    assert go(second).state == State.GATING, str(second.note)
    again = learned_rows(Run.objects.get(round=second, purpose="policy"))
    assert len(again) == 18 and "curt+refuel asks back" in json.dumps(again), "nothing of earlier policies is replayed"


def test_failed_cancelled_and_turned_down_the_old_policy_serves(
    loop: Loop, round: Round, campaign: Campaign, annotator: User, lead: User
) -> None:
    rounds.configure(loop=loop, settings={**REFUEL, "refresh_reward": False}, actor=lead)
    assert to_training(round, campaign, annotator).state == State.STALLED
    assert "refuel learns from scores, and there is no reward model" in str(round.note)
    rounds.configure(loop=loop, settings={"refresh_reward": True}, actor=lead)
    rounds.resume(round=round, actor=lead)
    assert go(round, "--fail", "refuel-rollouts").state == State.STALLED
    assert "failed twice" in str(round.note) and serving(campaign) == "policy-0"
    assert not Run.objects.filter(round=round, purpose="policy").exists()
    rounds.resume(round=round, actor=lead)
    rounds.advance_far(round.pk)
    round.refresh_from_db()
    waiting = Run.objects.get(round=round, purpose="rollouts")
    assert (round.state, waiting.state) == (State.FREEZING, Run.State.QUEUED)
    rounds.cancel(round=round, actor=lead)
    waiting.refresh_from_db()
    assert waiting.state == Run.State.CANCELLED and serving(campaign) == "policy-0"

    second = to_training(rounds.start_round(loop=loop, actor=lead), campaign, annotator, "--same-dialogues")
    assert second.state == State.STALLED
    assert "left no pair of dialogues" in str(second.note)
    rounds.configure(loop=loop, settings={"dialogue_turns": 0}, actor=lead)
    rounds.resume(round=second, actor=lead)
    assert go(second).state == State.GATING
    alone = Run.objects.get(round=second, purpose="policy")
    assert alone.snapshot == second.snapshot and "labelled_by" not in alone.inputs, "people's pairs alone"
    judge_all(campaign, annotator, lambda task: -for_new(task))
    assert go(second).state == State.REJECTED
    assert serving(campaign) == "policy-0"


def test_what_does_not_fit_is_said_at_its_setting(loop: Loop, campaign: Campaign, lead: User) -> None:
    assert asked(loop_settings(REFUEL)) == ("reward",) and asked(loop_settings({**REFUEL, "dialogue_turns": 0})) == ()
    refusals = (
        ({"gate_human_pairs": 0}, "gate_human_pairs", "cannot be the one that decides"),
        ({"reward_recipe": "pairwise-generative"}, "reward_recipe", "gives no dialogue a score"),
        ({"dialogue_settings": "turns = 3"}, "dialogue_settings", "dialogue_turns"),
        ({"dialogue_settings": "outcome = best"}, "dialogue_settings", "outcome"),
    )
    for given, field, says in refusals:
        with pytest.raises(RecipeError) as wrong:
            loop_settings(REFUEL | given)
        assert says in " ".join(wrong.value.errors[field])
    loop_settings({**REFUEL, "dialogue_turns": 0, "gate_human_pairs": 0})
    with pytest.raises(Invalid, match="Set reference to data"):
        rounds.configure(loop=loop, settings={"policy_recipe": "refuel"}, actor=lead)
    for name in ("policy-7", "anybody"):
        rounds.configure(loop=loop, settings={**REFUEL, "dialogue_user": name}, actor=lead)
        with pytest.raises(WrongState, match=f"no policy called {name}"):
            rounds.start_round(loop=loop, actor=lead)
