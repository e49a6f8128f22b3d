"""Rounds from drafting to promoted, rejected and stalled, with a toy core; every step repeated and at once."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.datasets import prompt_hash, split
from annotation.models import Assignment, Campaign, Event, Feedback, Task, User
from annotation.services import queue
from annotation.told import of
from tests.factories import judge, make_campaign, make_task
from tests.training.chat_world import talk
from tests.training.round_world import SETTINGS, first, for_candidate, go, judge_all, to_the_gate, work
from training import paths
from training.errors import GateClosed, Invalid, WrongState
from training.models import GateReport, Loop, ModelVersion, Round, Run, Sample
from training.recipes.loop import LoopSettings
from training.services import chats, moves, rounds, runs, snapshots, steps, versions, withdrawals
from training.services.gate_evidence import evidence

pytestmark = pytest.mark.django_db(transaction=True)

State = Round.State


# --- The whole way -----------------------------------------------------------------------------------------------


def test_people_are_asked_about_a_share_of_the_prompts(loop: Loop, round: Round, campaign: Campaign) -> None:
    """Of ten prompts two are the audit slice; the toy asks about every other one of all ten, and about those two."""
    rounds.configure(loop=loop, settings={"asked_share": 0.5}, actor=None)
    assert go(round).state == State.LABELLING
    assert Task.objects.filter(campaign=campaign, batch="round-1").count() == 6
    assert Run.objects.get(round=round, purpose="sample").recipe["knobs"]["asked_share"] == 0.5
    assert "6 pairs wait" in str(round.note) and "4 prompts are not asked about" in str(round.note)


def test_a_loop_goes_round_twice(loop: Loop, round: Round, campaign: Campaign, annotator: User) -> None:
    assert go(round).state == State.LABELLING
    assert "There is no reward model yet" in str(of(Event.objects.get(action="round.sampling").detail["note"]))
    tasks = Task.objects.filter(campaign=campaign, batch="round-1")
    assert tasks.count() == 10
    assert tasks.filter(is_audit=True).count() == 2
    assert Sample.objects.filter(round=round, version__number=0).count() == 20
    assert {task.meta["policy"] for task in tasks} == {"policy-0"}
    held_out = [split(prompt_hash(task.content["messages"])) for task in tasks]
    assert set(held_out) == {"train"}, "held-out prompts are for the gate alone"

    assert judge_all(campaign, annotator, first) == 10
    go(round)
    assert round.state == State.GATING
    assert round.snapshot is not None
    assert round.snapshot.rows == 8, "the two audit pairs are never trained on"
    assert {row["audit"] for row in snapshots.lines(round.snapshot)} == {False}
    reward = ModelVersion.objects.get(campaign=campaign, kind="reward")
    assert reward.state == "promoted"
    gate_tasks = Task.objects.filter(campaign=campaign, batch="round-1-gate")
    assert gate_tasks.count() == 5
    assert all(task.is_audit and split(prompt_hash(task.content["messages"])) == "test" for task in gate_tasks)
    assert Run.objects.get(round=round, purpose="gate").inputs["scorers"] == {"reward": reward.path}

    assert judge_all(campaign, annotator, for_candidate) == 5
    go(round)
    assert round.state == State.PROMOTED, str(round.note)
    candidate = ModelVersion.objects.get(campaign=campaign, kind="policy", number=1)
    assert (candidate.state, round.candidate, candidate.parent) == ("promoted", candidate, round.policy)
    assert ModelVersion.objects.get(campaign=campaign, kind="policy", number=0).state == "retired"
    figures = {figure["name"]: figure for figure in candidate.gate_report.figures}
    assert figures["human_win_rate"]["estimate"] == 1.0
    assert figures["human_win_rate"]["n"] == 5
    assert figures["kl"]["estimate"] == 5.0
    assert figures["reward_win_rate"]["limit"] is None

    second = Round.objects.get(loop=loop, index=2)
    assert (second.policy, second.state) == (candidate, State.DRAFTING)
    rounds.configure(loop=loop, settings={"policy_recipe": "dpo-margin", "beta": 0.3}, actor=None)
    go(second)
    assert second.state == State.LABELLING
    new = Task.objects.filter(campaign=campaign, batch="round-2", state=Task.State.OPEN)
    assert new.count() == 10
    assert all("curt+dpo" in task.content["completions"][0]["text"] for task in new)
    assert not set(second.prompts) & set(round.prompts), "prompts not used lately come first"
    assert Run.objects.get(round=second, purpose="sample").inputs["scorers"] == {"reward": reward.path}

    judge_all(campaign, annotator, first)
    go(second)
    assert second.snapshot is not None
    by_round = [row["round"] for row in snapshots.lines(second.snapshot)]
    assert (by_round.count(2), by_round.count(1)) == (8, 4), "half as many of the round before are mixed in"
    newest = Run.objects.get(round=second, purpose="reward")
    assert newest.snapshot.rows == 16
    learned = Run.objects.get(round=second, purpose="policy")
    assert learned.recipe["name"] == "dpo-margin" and learned.recipe["knobs"]["beta"] == 0.3
    assert learned.inputs["scorers"] == {"reward": newest.output.path}
    judge_all(campaign, annotator, for_candidate)
    go(second)
    assert second.state == State.PROMOTED, str(second.note)
    blind = Task.objects.filter(campaign=campaign, batch__endswith="-gate")
    assert len({task.meta["candidate"] for task in blind}) == 2, "the candidate does not always come first"
    lineage = versions.lineage(ModelVersion.objects.get(campaign=campaign, kind="policy", number=2))
    assert [ancestor["label"] for ancestor in lineage["ancestors"]] == ["policy-1", "policy-0"]
    assert lineage["judgements"] == 16, "twelve by itself, the others through the reward model that weighed them"
    assert lineage["all_judgements"] == 16
    assert set(lineage["feedback_ids"]) <= set(Feedback.objects.values_list("pk", flat=True))


def test_without_audit_slice_and_replay_a_round_learns_from_all_its_pairs_and_no_others(
    loop: Loop, round: Round, campaign: Campaign, annotator: User
) -> None:
    """With them it is eight of ten pairs, and half as many of the round before: see the test above."""
    rounds.configure(loop=loop, settings={"audit_share": 0.0, "replay": 0.0}, actor=None)
    to_the_gate(round, campaign, annotator)
    assert not Task.objects.filter(batch="round-1", is_audit=True).exists()
    assert round.snapshot is not None and round.snapshot.rows == 10
    judge_all(campaign, annotator, for_candidate)
    assert go(round).state == State.PROMOTED, str(round.note)
    second = to_the_gate(Round.objects.get(loop=loop, index=2), campaign, annotator)
    assert second.snapshot is not None
    assert [row["round"] for row in snapshots.lines(second.snapshot)] == [2] * 10


def test_a_candidate_learns_on_its_own_answers_by_the_reward_model(
    loop: Loop, round: Round, campaign: Campaign, annotator: User, lead: User
) -> None:
    """Failed, resumed, cancelled and turned down: until the gate lets a candidate pass the old policy serves."""

    def serving() -> str:
        found = versions.current(campaign, ModelVersion.Kind.POLICY)
        assert found is not None
        return found.label

    with pytest.raises(Invalid, match="cannot be the one that decides"):
        rounds.configure(loop=loop, settings={"policy_recipe": "rloo", "gate_human_pairs": 0}, actor=lead)
    with pytest.raises(Invalid, match="Set reference to data"):
        rounds.configure(loop=loop, settings={"policy_recipe": "refuel"}, actor=lead)
    with pytest.raises(Invalid, match="learns from several opinions"):
        rounds.configure(loop=loop, settings={"policy_recipe": "ppo-worst-case"}, actor=lead)
    with pytest.raises(Invalid, match="goes by one opinion"):
        rounds.configure(loop=loop, settings={"policy_recipe": "rloo", "selection": "bald"}, actor=lead)
    chosen = {"policy_recipe": "rloo", "iterations": 3, "learning_rate": 0.01, "max_new_tokens": 12}
    rounds.configure(loop=loop, settings={**chosen, "refresh_reward": False}, actor=lead)
    go(round)
    judge_all(campaign, annotator, first)
    assert go(round).state == State.STALLED
    assert "rloo learns from scores, and there is no reward model" in str(round.note)

    rounds.configure(loop=loop, settings={"refresh_reward": True}, actor=lead)
    rounds.resume(round=round, actor=lead)
    assert go(round, "--fail", "rloo").state == State.STALLED
    assert "failed twice" in str(round.note) and serving() == "policy-0"
    run = Run.objects.get(round=round, purpose="policy")
    reward = ModelVersion.objects.get(campaign=campaign, kind="reward")
    assert run.recipe["name"] == "rloo" and run.snapshot is None
    assert {name: run.recipe["knobs"][name] for name in ("iterations", "max_new_tokens")} == {
        "iterations": 3,
        "max_new_tokens": 12,
    }
    assert run.inputs["scorers"] == {"reward": reward.path}
    asked = [json.loads(line) for line in Path(paths.resolve(run.inputs["data"])).read_text().splitlines()]
    assert len(asked) > 90 and {split(prompt_hash(row["prompt"])) for row in asked} == {"train"}
    rounds.cancel(round=round, actor=lead)
    assert serving() == "policy-0"

    second = rounds.start_round(loop=loop, actor=lead)
    go(second)
    judge_all(campaign, annotator, first)
    go(second)
    judge_all(campaign, annotator, lambda task: 3 if task.meta.get("candidate") == 1 else -3)
    assert go(second).state == State.REJECTED
    assert serving() == "policy-0"

    third = rounds.start_round(loop=loop, actor=lead)
    go(third)
    judge_all(campaign, annotator, first)
    assert go(third).state == State.GATING
    judge_all(campaign, annotator, lambda task: -3 if task.meta.get("candidate") == 1 else 3)
    assert go(third).state == State.PROMOTED, str(third.note)
    candidate = third.candidate
    assert candidate is not None and serving() == candidate.label
    # People's judgements reached it through the reward model, which the lineage and a withdrawal know.
    told = versions.lineage(candidate)
    newest = ModelVersion.objects.get(campaign=campaign, kind="reward", state="promoted")
    assert told["scored_by"] == [{"id": newest.pk, "label": newest.label}]
    assert newest.snapshot is not None and told["judgements"] == newest.snapshot.rows > 8
    pseudonym = next(iter(snapshots.lines(newest.snapshot)))["annotator"]
    assert candidate in withdrawals.uses(pseudonym).versions


def test_a_round_learns_from_chats_with_its_own_policy_and_replays_those_with_earlier_ones(
    loop: Loop, round: Round, campaign: Campaign, annotator: User, lead: User
) -> None:
    rounds.configure(loop=loop, settings={"chat": True}, actor=lead)

    def chat_about(subject: str) -> str:
        """Return the item of a turn about something that is not held out."""
        numbered = (f"{subject} {number}?" for number in range(100))
        message = next(m for m in numbered if split(prompt_hash([{"role": "user", "content": m}])) == "train")
        chat = talk(campaign, annotator, message)
        chats.end(chat=chat)
        return f"chat-{chat.pk}-turn-1"

    go(round)
    early = chat_about("Bread")
    judge_all(campaign, annotator, first)
    go(round)
    assert round.snapshot is not None
    assert round.snapshot.rows == 9, "eight of its own pairs, and one out of a chat"
    assert early in [row["task"] for row in snapshots.lines(round.snapshot)]
    reward = Run.objects.get(round=round, purpose="reward")
    assert reward.snapshot is not None and reward.snapshot.rows == 9, "the reward model learns from chats too"
    judge_all(campaign, annotator, for_candidate)
    go(round)
    assert round.state == State.PROMOTED, str(round.note)

    following = Round.objects.get(loop=loop, index=2)
    go(following)
    late = chat_about("Cake")
    assert Task.objects.get(external_id=late).batch == "chat-policy-1"
    judge_all(campaign, annotator, first)
    go(following)
    assert following.snapshot is not None
    assert following.snapshot.filters["batches"] == ["round-2", "chat-policy-1"]
    assert following.snapshot.filters["replay"]["batches"] == ["round-1", "chat-policy-0"]
    assert late in [row["task"] for row in snapshots.lines(following.snapshot)]


def test_every_step_twice_at_once_and_twice_over_changes_nothing(
    round: Round, campaign: Campaign, annotator: User
) -> None:
    """Six threads advance at every turn; what comes out is one run per purpose, one task per prompt, one next round."""

    def advance_together() -> None:
        barrier = threading.Barrier(6)
        faults: list[BaseException] = []

        def body() -> None:
            try:
                barrier.wait()
                rounds.advance(round.pk)
            except BaseException as fault:
                faults.append(fault)
            finally:
                connection.close()

        threads = [threading.Thread(target=body) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not faults

    for _ in range(14):
        advance_together()
        work(round)
        judge_all(campaign, annotator, for_candidate)
        if Round.objects.get(pk=round.pk).is_final:
            break
    round.refresh_from_db()
    assert round.state == State.PROMOTED, (round.state, str(round.note))
    assert sorted(round.runs.values_list("purpose", flat=True)) == ["gate", "policy", "reward", "sample"]
    assert Task.objects.filter(batch="round-1").count() == 10
    assert Task.objects.filter(batch="round-1-gate").count() == 5
    assert Sample.objects.filter(round=round).count() == 20
    assert Round.objects.filter(loop=round.loop).count() == 2
    assert ModelVersion.objects.filter(campaign=campaign, kind="policy").count() == 2
    states = Event.objects.filter(target="round 1", action__startswith="round.").values_list("action", flat=True)
    assert len(states) == len(set(states)), "each state was entered once"


def test_a_step_killed_half_way_is_made_up_for(round: Round, campaign: Campaign, monkeypatch: Any) -> None:
    rounds.advance(round.pk)
    work(round)
    real = steps.sampling._task
    made: list[str] = []

    def dies_after_four(*arguments: Any, **more: Any) -> Task:
        if len(made) == 4:
            raise MemoryError("killed")
        made.append("task")
        return real(*arguments, **more)

    monkeypatch.setattr(steps.sampling, "_task", dies_after_four)
    with pytest.raises(MemoryError):
        rounds.advance(round.pk)
    round.refresh_from_db()
    assert round.state == State.SAMPLING
    assert Task.objects.filter(batch="round-1").count() == 4
    assert rounds.advance_all() == 1, "the beat notes it and goes on"
    round.refresh_from_db()
    assert "tried again" in str(round.note)
    monkeypatch.undo()
    rounds.advance_all()
    round.refresh_from_db()
    assert round.state == State.LABELLING
    assert Task.objects.filter(batch="round-1").count() == 10


# --- Labelling ---------------------------------------------------------------------------------------------------


def test_the_deadline_lets_a_round_go_on_with_the_minimum_share(
    round: Round, campaign: Campaign, annotator: User, loop: Loop, lead: User
) -> None:
    rounds.configure(loop=loop, settings={"minimum_share": 0.6, "deadline_hours": 2}, actor=lead)
    go(round)
    judge_all(campaign, annotator, first, most=5)
    assert not rounds.advance(round.pk)
    Round.objects.filter(pk=round.pk).update(labelling_started_at=timezone.now() - timedelta(hours=3))
    rounds.advance(round.pk)
    round.refresh_from_db()
    assert round.state == State.LABELLING
    assert "5 of 10 pairs judged; 60% are needed" in str(round.note)
    assert not rounds.advance(round.pk), "the note is written once"
    judge_all(campaign, annotator, first, most=1)
    assert rounds.advance(round.pk)
    round.refresh_from_db()
    assert round.state == State.FREEZING
    assert Task.objects.filter(batch="round-1", state=Task.State.WITHDRAWN).count() == 4
    assert queue.next_task(user=annotator, campaign=campaign) is None


def test_a_lead_lets_the_round_go_on_with_what_is_judged(
    round: Round, campaign: Campaign, annotator: User, lead: User
) -> None:
    go(round)
    with pytest.raises(WrongState, match="Nobody has judged"):
        rounds.finish_labelling(round=round, actor=lead)
    judge_all(campaign, annotator, first, most=3)
    assert rounds.finish_labelling(round=round, actor=lead).state == State.FREEZING
    with pytest.raises(WrongState, match="nobody judges now"):
        rounds.finish_labelling(round=round, actor=lead)
    go(round)
    assert round.state == State.GATING
    judge_all(campaign, annotator, for_candidate, most=2)
    with pytest.raises(WrongState, match="2 of 5 blind pairs are judged, and 5 are needed"):
        rounds.finish_labelling(round=round, actor=lead, reason=" ")
    reason = "The others are on leave until January."
    assert rounds.finish_labelling(round=round, actor=lead, reason=reason).state == State.PROMOTED
    report = GateReport.objects.get()
    assert report.figures[0]["n"] == 2
    event = Event.objects.get(action="gate.closed_early")
    assert (event.actor, event.detail["reason"], event.detail["judged"], event.detail["pairs"]) == (lead, reason, 2, 5)
    assert event in evidence(report).decisions, "whoever reads the report sees that it was early, and why"


def test_a_gate_whose_pairs_all_left_the_queue_unjudged_is_ended_by_a_lead_with_a_reason(
    round: Round, campaign: Campaign, annotator: User, lead: User, client: Any
) -> None:
    to_the_gate(round, campaign, annotator)
    with pytest.raises(WrongState, match="Nobody has judged a pair yet"):
        rounds.finish_labelling(round=round, actor=lead, reason="Too slow.")
    pairs = Task.objects.filter(batch="round-1-gate")
    queue.withdraw(tasks=list(pairs.values_list("pk", flat=True)))
    assert "All 5 blind pairs left the queue" in str(go(round).note)
    client.force_login(lead)
    page = reverse("loop", args=[campaign.pk])
    html = client.get(page).text
    assert "Turn the candidate down as not decided?" in html
    assert "everybody's queue" not in html and "Compare blind" not in html, "nothing is there to compare"
    with pytest.raises(WrongState, match="as not decided, giving a reason"):
        rounds.finish_labelling(round=round, actor=lead)
    client.post(reverse("loop-action", args=[campaign.pk]), {"action": "go-on", "reason": "Nobody is there."})
    round.refresh_from_db()
    assert round.state == State.REJECTED and "Nobody compared the candidate" in str(round.note)
    assert Event.objects.get(action="gate.closed_early").detail["judged"] == 0


def test_pairs_that_left_the_queue_half_judged_put_no_candidate_into_use(
    round: Round, campaign: Campaign, annotator: User, lead: User, loop: Loop
) -> None:
    to_the_gate(round, campaign, annotator)
    pairs = Task.objects.filter(batch="round-1-gate")
    pairs.update(wanted=2, seats=2)
    judge_all(campaign, annotator, for_candidate, most=1)
    queue.withdraw(tasks=list(pairs.values_list("pk", flat=True)))
    assert "before one had all its judgements" in str(go(round).note)
    ended = rounds.finish_labelling(round=round, actor=lead, reason="Nobody is there.")
    assert ended.state == State.REJECTED and "As no pair had all its judgements" in str(ended.note)


def test_an_open_gate_keeps_the_limits_it_was_opened_with(
    round: Round, campaign: Campaign, annotator: User, lead: User, loop: Loop
) -> None:
    """Nobody moves a limit to where the answers fall: the round is turned down, as it was agreed on before."""
    go(round)
    judge_all(campaign, annotator, first)
    go(round)
    assert round.state == State.GATING
    rounds.configure(loop=loop, settings={"gate_minimum_win_rate": 0.0, "minimum_share": 0.05}, actor=lead)
    round.loop.refresh_from_db()
    judge_all(campaign, annotator, lambda task: -for_candidate(task))
    assert go(round).state == State.REJECTED
    assert GateReport.objects.get().figures[0]["limit"] == 0.5


def test_what_is_set_while_a_gate_is_open_need_not_fit_its_limits(
    round: Round, campaign: Campaign, annotator: User, lead: User, loop: Loop
) -> None:
    """A model that labels needs a gate with people; the gate that is open was opened without any."""
    go(round)
    rounds.configure(loop=loop, settings={"gate_human_pairs": 0}, actor=lead)
    round.loop.refresh_from_db()
    judge_all(campaign, annotator, first)
    go(round)
    run = Run.objects.get(round=round, purpose="gate")
    rounds.configure(loop=loop, settings={"labeller": "explicit", "gate_human_pairs": 20}, actor=lead)
    round.loop.refresh_from_db()
    told = moves.settings_of_gate(round, run)
    assert (told.gate_human_pairs, told.labeller) == (run.inputs["limits"].get("gate_human_pairs", 20), "explicit")


def test_the_last_judgement_wakes_the_round(
    round: Round, campaign: Campaign, annotator: User, monkeypatch: Any
) -> None:
    go(round)
    make_task(campaign, number=900)  # an item of no round
    woken: list[int] = []
    monkeypatch.setattr("training.receivers.messages.wake_round", woken.append)
    judge_all(campaign, annotator, first, most=9)
    assert woken == []
    judge_all(campaign, annotator, first)
    assert woken == [round.pk]


def test_nothing_to_learn_from_stalls_the_round_and_a_second_look_helps(
    round: Round, campaign: Campaign, annotator: User, lead: User
) -> None:
    go(round)
    judge_all(campaign, annotator, lambda task: 0)
    go(round)
    assert (round.state, round.stalled_in) == (State.STALLED, State.FREEZING)
    assert "nothing to learn from" in str(round.note)
    for assignment in Assignment.objects.filter(user=annotator, campaign=campaign, task__is_audit=False):
        judge(annotator, campaign, assignment=assignment, preference=3)
    rounds.resume(round=round, actor=lead)
    go(round)
    assert round.state == State.GATING


# --- What goes wrong ---------------------------------------------------------------------------------------------


def test_a_run_that_fails_is_tried_once_more_and_then_stalls_the_round(round: Round, lead: User) -> None:
    go(round, "--fail", "sample")
    assert (round.state, round.stalled_in) == (State.STALLED, State.SAMPLING)
    assert "failed twice: The toy refuses sample." in str(round.note)
    run = Run.objects.get(round=round)
    assert run.failures == 2
    assert not rounds.advance(round.pk)

    resumed = rounds.resume(round=round, actor=lead)
    assert (resumed.state, resumed.stalled_in) == (State.SAMPLING, "")
    with pytest.raises(WrongState):
        rounds.resume(round=round, actor=lead)
    assert go(round).state == State.LABELLING
    assert Run.objects.get(round=round).failures == 0


def test_a_candidate_that_cannot_be_trained_leaves_the_old_policy_serving(
    round: Round, campaign: Campaign, annotator: User
) -> None:
    rounds.configure(loop=round.loop, settings={"chat": True}, actor=None)
    to_the_gate(round, campaign, annotator, "--fail", "dpo")
    assert (round.state, round.stalled_in, round.candidate) == (State.STALLED, State.TRAINING, None)
    assert versions.current(campaign, "policy") == round.policy
    assert chats.start(campaign=campaign, user=annotator).policy == round.policy
    assert go(rounds.resume(round=round, actor=None)).state == State.GATING


def test_what_failed_by_the_settings_is_ordered_anew_once_they_are_others(
    round: Round, campaign: Campaign, annotator: User, lead: User
) -> None:
    """What a run says when it fails is to lower a setting: a round that is resumed goes by it, from the same pairs."""
    go(round, "--fail", "sample")
    rounds.configure(loop=round.loop, settings={"gate_minimum_win_rate": 0.4}, actor=lead)
    assert rounds.resume(round=round, actor=lead).state == State.SAMPLING, "no limit of the gate makes a run another"
    go(round, "--fail", "sample")
    rounds.configure(loop=round.loop, settings={"max_new_tokens": 12}, actor=lead)
    assert rounds.resume(round=round, actor=lead).state == State.DRAFTING
    go(round)
    failed, again = Run.objects.filter(round=round).order_by("pk")
    assert (failed.purpose, failed.state) == ("", Run.State.FAILED), "it stays to be looked at"
    assert (again.purpose, again.state, again.recipe["knobs"]["max_new_tokens"]) == ("sample", "succeeded", 12)
    assert again.inputs["data"] == failed.inputs["data"]

    to_the_gate(round, campaign, annotator, "--fail", "dpo")
    assert (round.state, round.stalled_in) == (State.STALLED, State.TRAINING)
    rounds.configure(loop=round.loop, settings={"learning_rate": 3e-5}, actor=lead)
    rounds.resume(round=round, actor=lead)
    assert go(round).state == State.GATING
    failed, again = Run.objects.filter(round=round, recipe__name="dpo").order_by("pk")
    assert (failed.purpose, again.purpose) == ("", "policy") and again.recipe["knobs"]["learning_rate"] == 3e-5
    assert again.snapshot == failed.snapshot == round.snapshot


def test_a_run_of_a_round_that_somebody_cancels_stalls_it(round: Round, lead: User) -> None:
    rounds.advance(round.pk)
    runs.cancel(run=Run.objects.get(round=round), actor=lead)
    rounds.advance(round.pk)
    round.refresh_from_db()
    assert round.state == State.STALLED
    assert "was cancelled" in str(round.note)
    rounds.resume(round=round, actor=lead)
    assert go(round).state == State.LABELLING


def test_answers_that_are_all_the_same_stall_the_round(round: Round) -> None:
    go(round, "--same")
    assert round.state == State.STALLED
    assert "no two different answers to any of 10 prompts" in str(round.note)


def test_prompts_that_are_gone_stall_the_round(round: Round, prompts_file: Path) -> None:
    prompts_file.unlink()
    rounds.advance(round.pk)
    round.refresh_from_db()
    assert (round.state, round.stalled_in) == (State.STALLED, State.DRAFTING)
    assert "There is no file of prompts" in str(round.note)


# --- Leads -------------------------------------------------------------------------------------------------------


def test_cancel_leaves_the_old_policy_and_stops_everything(
    round: Round, campaign: Campaign, annotator: User, lead: User, loop: Loop
) -> None:
    go(round)
    judge_all(campaign, annotator, first, most=4)
    rounds.cancel(round=round, actor=lead)
    round.refresh_from_db()
    loop.refresh_from_db()
    assert (round.state, loop.state) == (State.CANCELLED, Loop.State.PAUSED)
    assert queue.next_task(user=annotator, campaign=campaign) is None
    assert Feedback.objects.count() == 4, "judgements are kept"
    assert versions.current(campaign, "policy") == round.policy
    with pytest.raises(WrongState):
        rounds.cancel(round=round, actor=lead)
    assert rounds.start_round(loop=loop, actor=lead).index == 2


def test_cancel_stops_runs_that_are_under_way(round: Round, lead: User) -> None:
    rounds.advance(round.pk)
    rounds.cancel(round=round, actor=lead)
    assert Run.objects.get(round=round).state == Run.State.CANCELLED
    assert not rounds.advance(round.pk)


def test_a_paused_loop_stands_still_until_it_is_resumed(round: Round, loop: Loop, lead: User) -> None:
    rounds.pause(loop=loop, actor=lead)
    with pytest.raises(WrongState):
        rounds.pause(loop=loop, actor=lead)
    assert not rounds.advance(round.pk)
    with pytest.raises(WrongState, match="not finished"):
        rounds.start_round(loop=loop, actor=lead)
    rounds.resume(round=round, actor=lead)
    assert rounds.advance(round.pk)


def test_a_loop_is_refused_with_reasons(
    campaign: Campaign, prompts_file: Path, base: Path, lead: User, tmp_path: Path
) -> None:
    def create(**changed: Any) -> Loop:
        values = {"policy": str(base), "prompts_path": str(prompts_file), "settings": {}} | changed
        return rounds.create_loop(campaign=campaign, actor=lead, **values)

    with pytest.raises(Invalid, match="no file of prompts") as missing:
        create(prompts_path=str(tmp_path / "nowhere.jsonl"))
    assert "prompts_path" in missing.value.errors
    with pytest.raises(Invalid) as wrong:
        create(settings={"replay": -1, "overlop": 2})
    assert set(wrong.value.errors) == {"replay", "overlop"}
    with pytest.raises(Invalid, match="There is no folder"):
        create(policy=str(tmp_path / "no-folder"))
    one_by_one = make_campaign(lead=lead, kind="ratings")
    with pytest.raises(WrongState, match="compare two answers"):
        rounds.create_loop(
            campaign=one_by_one, policy=str(base), prompts_path=str(prompts_file), settings={}, actor=lead
        )
    few = tmp_path / "few.jsonl"
    few.write_text('{"id": 1, "prompt": [{"role": "user", "content": "Hi"}]}\n{"id"')
    with pytest.raises(Invalid, match=r"Line 2 of few\.jsonl"):
        create(prompts_path=str(few))
    few.write_text('{"id": 1, "prompt": [{"role": "user", "content": "Hi"}]}\n')
    with pytest.raises(Invalid, match="Add more prompts"):
        create(prompts_path=str(few))
    assert not Loop.objects.exists()
    assert not ModelVersion.objects.exists()
    create()
    with pytest.raises(WrongState, match="has a loop already"):
        create()


def test_a_wrong_name_of_the_base_is_corrected_until_something_came_of_it(
    campaign: Campaign, prompts_file: Path, base: Path, lead: User, client: Any
) -> None:
    """A name on the hub is only looked up by the first run: what was a slip is mended in the loop's settings."""
    loop = rounds.create_loop(
        campaign=campaign, policy="org/tpyo", prompts_path=str(prompts_file), settings=SETTINGS, actor=lead
    )
    round = rounds.start_round(loop=loop, actor=lead)
    rounds.advance_far(round.pk)
    lost = Run.objects.get(round=round)
    with pytest.raises(WrongState, match="A run of policy-0 is under way"):
        rounds.configure(loop=loop, settings={}, actor=lead, policy=str(base))
    assert go(round, "--fail", "sample").state == State.STALLED

    client.force_login(lead)
    page = f"/campaigns/{campaign.pk}/loop/edit/"
    form = client.get(page).context["form"]
    values = {name: form[name].value() for name in form.fields}
    sent = {name: value for name, value in values.items() if value is not None and value is not False}
    assert sent["policy"] == "org/tpyo"
    wrong = client.post(page, sent | {"policy": "/nowhere"})
    assert wrong.status_code == 422 and "policy" in wrong.context["form"].errors
    assert client.post(page, sent | {"policy": str(base)}).status_code == 302
    (version,) = ModelVersion.objects.all()
    assert (version.path, version.state) == (str(base), "promoted")
    event = Event.objects.filter(action="loop.configured").latest("pk")
    assert event.detail["policy"] == {"from": "org/tpyo", "to": str(base)}
    rounds.resume(round=round, actor=lead)
    assert go(round).state == State.LABELLING
    again = Run.objects.get(round=round, purpose="sample")
    assert again.pk != lost.pk and again.inputs["model"] == str(base)
    assert "policy" not in client.get(page).context["form"].fields
    rest = APIClient()
    rest.force_authenticate(lead)
    address = f"/api/training/campaigns/{campaign.pk}/loop/"
    late = rest.patch(address, {"policy": "org/other"}, format="json")
    assert late.status_code == 409 and "Something came of policy-0 already" in late.json()["detail"]
    assert rest.patch(address, {"policy": str(base)}, format="json").status_code == 200, "which it has already"


def test_a_loop_puts_no_policy_over_the_one_in_use_without_a_reason(
    campaign: Campaign, policy: ModelVersion, prompts_file: Path, base: Path, lead: User, client: Any
) -> None:
    """No gate compared the two. Begun with the one in use, a loop changes nothing."""
    order = {"campaign": campaign, "prompts_path": str(prompts_file), "settings": {}, "actor": lead}
    with pytest.raises(GateClosed, match="policy-0 is in use, and nobody has compared"):
        rounds.create_loop(policy=str(base), reason=" ", **order)
    assert list(ModelVersion.objects.all()) == [policy] and not Loop.objects.exists()
    client.force_login(lead)
    page = f"/campaigns/{campaign.pk}/loop/new/"
    assert 'name="reason"' in client.get(page).text
    sent = {"policy": str(base), "prompts_path": str(prompts_file)} | vars(LoopSettings())
    refused = client.post(page, sent)
    assert refused.status_code == 422 and "nobody has compared" in refused.text
    rounds.create_loop(policy=policy.path, **order).delete()
    assert list(ModelVersion.objects.all()) == [policy], "it stays, and is registered once"
    rounds.create_loop(policy=str(base), reason="The one in use was a trial.", **order)
    states = dict(ModelVersion.objects.values_list("number", "state"))
    assert states == {0: "retired", 1: "promoted"}
    event = Event.objects.get(action="policy.promoted_over_the_gate")
    assert (event.actor, event.target, event.detail["reason"]) == (lead, "policy-1", "The one in use was a trial.")
    assert "policy-0 is in use" in event.detail["objection"]


def test_the_reference_is_the_first_policy_when_the_loop_says_so(
    loop: Loop, lead: User, campaign: Campaign, annotator: User, base: Path
) -> None:
    rounds.configure(loop=loop, settings={"reference": "initial", "learning_rate": 0.001, "epochs": 3}, actor=lead)
    round = rounds.start_round(loop=loop, actor=lead)
    to_the_gate(round, campaign, annotator)
    run = Run.objects.get(round=round, purpose="policy")
    assert paths.resolve(run.inputs["reference"]) == str(base)
    assert run.recipe["knobs"]["learning_rate"] == 0.001
    assert run.recipe["knobs"]["epochs"] == 3
