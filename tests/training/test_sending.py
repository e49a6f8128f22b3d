"""A policy that no round made goes through the same gate as any other, and nothing goes past it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from rest_framework.test import APIClient

from annotation.models import Campaign, Event, User
from tests.training.round_world import SETTINGS, first, for_candidate, go, judge_all
from training.errors import GateClosed, WrongState
from training.models import GateOrder, GateReport, Loop, ModelVersion, Round, Run
from training.services import gate_orders, promotion, rounds, sending, versions, weights
from training.services.gate_evidence import evidence

pytestmark = pytest.mark.django_db(transaction=True)

State = Round.State


@pytest.fixture
def uploaded(loop: Loop, campaign: Campaign, lead: User, tmp_path: Path) -> ModelVersion:
    """A policy from outside, beside the one in use."""
    return beside(campaign, tmp_path / "uploaded", "kind")


def beside(campaign: Campaign, folder: Path, style: str) -> ModelVersion:
    """Register a policy of a style."""
    folder.mkdir()
    (folder / "style.txt").write_text(style)
    return versions.register(campaign=campaign, kind="policy", path=str(folder), actor=None)


def liked(better: str) -> Any:
    """Return a taste for answers that begin with a word."""
    return lambda task: 3 if task.content["completions"][0]["text"].startswith(better) else -3


def test_one_from_outside_is_compared_blind_and_put_into_use_by_its_report(
    loop: Loop, uploaded: ModelVersion, campaign: Campaign, annotator: User, lead: User, client: Any
) -> None:
    api = APIClient()
    api.force_authenticate(lead)
    answer = api.post(reverse("api-version-gate", args=[uploaded.pk]), {}, format="json")
    assert answer.status_code == 201 and answer.json()["candidate"] == uploaded.pk, answer.json()
    round = Round.objects.get()
    assert round.is_gate_only and Event.objects.get(action="gate.ordered").actor == lead
    client.force_login(lead)
    assert "Held-out prompts are being chosen" in client.get(reverse("loop", args=[campaign.pk])).text
    assert go(round).state == State.GATING, str(round.note)
    assert {run.purpose for run in round.runs.all()} == {"gate"}, "nothing is sampled or trained"
    with pytest.raises(GateClosed, match="no gate report"):
        promotion.promote(version=uploaded, actor=lead)
    with pytest.raises(WrongState, match="Round 1 is not finished"):
        rounds.start_round(loop=loop, actor=lead)
    assert "policy-1: " not in client.get(reverse("round", args=[round.pk])).text, "who judges must not see it there"
    judge_all(campaign, annotator, liked("kind"))
    assert go(round).state == State.PROMOTED, str(round.note)
    assert versions.current(campaign, "policy") == uploaded
    assert loop.rounds.count() == 1, "none follows by itself"

    found = evidence(GateReport.objects.get(candidate=uploaded))
    assert len(found.pairs) == SETTINGS["gate_human_pairs"] and len(found.items) == SETTINGS["gate_prompts"]
    assert found.proof["elsewhere"] == [uploaded.label]
    assert [event.action for event in found.decisions] == ["gate.ordered", "policy.promoted"]
    page = client.get(reverse("model-gate", args=[uploaded.pk])).text
    assert "made elsewhere" in page and "was sent to the gate" in page
    assert "only decides on policy-1" in client.get(reverse("round", args=[round.pk])).text
    following = rounds.start_round(loop=loop, actor=lead)
    assert (following.index, following.policy) == (2, uploaded) and not following.is_gate_only
    assert go(following).state == State.LABELLING


def test_one_that_is_turned_down_leaves_the_old_policy_and_is_not_drawn_again(
    loop: Loop, uploaded: ModelVersion, campaign: Campaign, annotator: User, lead: User, client: Any
) -> None:
    """Nor under another number; and it is none of the loop's own rejections in a row."""
    serving = versions.current(campaign, "policy")
    client.force_login(lead)
    page = reverse("model", args=[uploaded.pk])
    assert "send-to-gate" in client.get(page).text
    assert client.post(reverse("model-send", args=[uploaded.pk])).status_code == 302
    round = Round.objects.get()
    go(round)
    judge_all(campaign, annotator, liked("curt"))
    assert go(round).state == State.REJECTED
    assert "policy-0 stays in use." in str(round.note) and versions.current(campaign, "policy") == serving
    assert "send-to-gate" not in client.get(page).text
    again = versions.register(campaign=campaign, kind="policy", path=uploaded.path, actor=None)
    for version in (uploaded, again):
        with pytest.raises(WrongState, match="decided on policy-1 already"):
            sending.send_to_gate(version=version, actor=lead)
    response = client.post(reverse("model-send", args=[again.pk]))
    assert response.status_code == 422 and "nobody draws twice" in response.text

    rounds.configure(loop=loop, settings={"rejections_in_a_row": 2}, actor=lead)
    own = rounds.start_round(loop=loop, actor=lead)
    go(own)
    judge_all(campaign, annotator, first)
    go(own)
    with pytest.raises(GateClosed, match="did not pass its gate"):
        promotion.promote(version=uploaded, actor=lead)
    judge_all(campaign, annotator, lambda task: -liked("curt+")(task))
    assert go(own).state == State.REJECTED and "The next round asks for more pairs." in str(own.note)


def test_a_gate_that_was_cancelled_after_people_judged_is_held_again_for_a_reason(
    loop: Loop, uploaded: ModelVersion, campaign: Campaign, annotator: User, lead: User, client: Any
) -> None:
    serving = versions.current(campaign, "policy")
    call_command("loop", "--campaign", campaign.name, "--gate", "policy-1", "--actor", lead.username)
    with pytest.raises(CommandError, match="no policy called policy-9"):
        call_command("loop", "--campaign", campaign.name, "--gate", "policy-9", "--actor", lead.username)
    round = Round.objects.get()
    rounds.cancel(round=go(round), actor=lead)
    assert versions.current(campaign, "policy") == serving and not sending.broken_off(uploaded), "nobody had judged"
    second = sending.send_to_gate(version=uploaded, actor=lead)
    go(second)
    judge_all(campaign, annotator, liked("kind"), most=1)
    rounds.cancel(round=second, actor=lead)
    with pytest.raises(GateClosed, match="cancelled in round 2 after people had judged"):
        sending.send_to_gate(version=uploaded, actor=lead)
    client.force_login(lead)
    assert "Why again" in client.get(reverse("model", args=[uploaded.pk])).text
    third = sending.send_to_gate(version=uploaded, actor=lead, reason="The guideline was wrong.")
    knobs = Run.objects.get(round=go(third)).recipe["knobs"]
    assert knobs["delta"] == pytest.approx(0.1 / 12), "each look is paid for, also those that were broken off"
    judge_all(campaign, annotator, liked("kind"))
    assert go(third).state == State.PROMOTED
    report = evidence(GateReport.objects.get())
    assert report.decisions[-2].detail["reason"] == "The guideline was wrong."


def test_who_cannot_be_sent_is_told_why(
    campaign: Campaign, policy: ModelVersion, lead: User, engineer: User, prompts_file: Path
) -> None:
    made = versions.add(campaign=campaign, kind="policy", path="org/made")
    with pytest.raises(WrongState, match="has no loop"):
        sending.send_to_gate(version=made, actor=lead)
    rounds.create_loop(
        campaign=campaign, policy=policy.path, prompts_path=str(prompts_file), settings=SETTINGS, actor=None
    )
    cost = versions.add(campaign=campaign, kind="cost", path="org/cost")
    same = versions.add(campaign=campaign, kind="policy", path=policy.path)
    for version, why in ((cost, "Only policies"), (policy, "is the policy in use"), (same, "the same folder as")):
        with pytest.raises(WrongState, match=why):
            sending.send_to_gate(version=version, actor=lead)
    api = APIClient()
    api.force_authenticate(engineer)
    assert api.post(reverse("api-version-gate", args=[made.pk]), {}, format="json").status_code == 403
    gate_orders.send(version=made, actor=lead)
    with pytest.raises(WrongState, match="Round 1 is not finished, and decides on"):
        gate_orders.send(version=made, actor=lead)


def test_what_is_sent_while_a_round_is_open_waits_in_turn_and_goes_before_the_next_one(
    loop: Loop, uploaded: ModelVersion, campaign: Campaign, annotator: User, lead: User, client: Any, tmp_path: Path
) -> None:
    own = go(rounds.start_round(loop=loop, actor=lead))
    later = beside(campaign, tmp_path / "later", "curt")
    third = beside(campaign, tmp_path / "third", "calm")
    api = APIClient()
    api.force_authenticate(lead)
    answer = api.post(reverse("api-version-gate", args=[uploaded.pk]), {}, format="json")
    assert answer.status_code == 202 and answer.json()["version"] == uploaded.pk, answer.json()
    client.force_login(lead)
    page = client.get(reverse("model", args=[later.pk])).text
    assert "It waits until round 1 has ended" in page
    client.post(reverse("model-send", args=[later.pk]))
    call_command("loop", "--campaign", campaign.name, "--gate", third.label, "--actor", lead.username)
    waiting = api.get(reverse("api-loop", args=[campaign.pk])).json()["waiting"]
    assert [one["version"] for one in waiting] == [uploaded.pk, later.pk, third.pk]
    assert waiting[0]["ordered_by"] == lead.pseudonym
    with pytest.raises(WrongState, match="policy-1 waits for its gate already"):
        gate_orders.send(version=versions.add(campaign=campaign, kind="policy", path=uploaded.path), actor=lead)
    page = client.get(reverse("loop", args=[campaign.pk])).text
    assert page.index("Withdraw policy-1") < page.index("Withdraw policy-2") < page.index("Withdraw policy-3")
    client.post(reverse("loop-action", args=[campaign.pk]), {"action": "withdraw", "version": third.pk})
    assert (
        "does not wait"
        in client.post(
            reverse("loop-action", args=[campaign.pk]), {"action": "withdraw", "version": third.pk}, follow=True
        ).text
    )
    assert api.delete(reverse("api-version-gate", args=[third.pk])).status_code == 409
    assert GateOrder.objects.count() == 2 and Event.objects.get(action="gate.withdrawn").actor == lead

    judge_all(campaign, annotator, first)
    go(own)
    assert gate_orders.objection(own.candidate) == "Round 1 is not finished, and decides on policy-5."
    judge_all(campaign, annotator, for_candidate)
    assert go(own).state == State.PROMOTED
    second = loop.rounds.get(index=2)
    assert (second.candidate, second.policy) == (uploaded, own.candidate), "held against the one in use by then"
    assert Event.objects.filter(action="gate.ordered").get().actor == lead
    go(second)
    judge_all(campaign, annotator, liked("kind"))
    assert go(second).state == State.PROMOTED
    round = loop.rounds.get(index=3)
    assert (round.candidate, round.policy) == (later, uploaded)
    go(round)
    judge_all(campaign, annotator, liked("kind"))
    assert go(round).state == State.REJECTED and not GateOrder.objects.exists()
    following = loop.rounds.get(index=4)
    assert not following.is_gate_only and following.policy == uploaded, "the loop's own rounds go on after them"


def test_what_waits_comes_after_a_cancelled_round_too_and_is_dropped_where_no_gate_can_decide_on_it(
    loop: Loop, uploaded: ModelVersion, campaign: Campaign, lead: User, tmp_path: Path
) -> None:
    own = go(rounds.start_round(loop=loop, actor=lead))
    later = beside(campaign, tmp_path / "later", "curt")
    for version in (uploaded, later):
        gate_orders.send(version=version, actor=lead)
    promotion.promote(version=uploaded, actor=lead, reason="It is urgent.")
    rounds.cancel(round=own, actor=lead)
    own.refresh_from_db()
    assert "Next policy-2 is compared" in str(own.note)
    assert "policy-1 is the policy in use" in Event.objects.get(action="gate.dropped").detail["note"]
    round = loop.rounds.get(index=2)
    loop.refresh_from_db()
    assert (round.candidate, round.policy, loop.state) == (later, uploaded, Loop.State.ACTIVE)
    assert go(round).state == State.GATING
    rounds.cancel(round=round, actor=lead)
    loop.refresh_from_db()
    assert loop.state == Loop.State.PAUSED and loop.rounds.count() == 2, "nothing waits any more"


def test_a_gate_closes_undecided_when_another_policy_is_put_into_use_over_it(
    loop: Loop, uploaded: ModelVersion, campaign: Campaign, annotator: User, lead: User, client: Any, tmp_path: Path
) -> None:
    serving = versions.current(campaign, "policy")
    assert serving is not None
    other = beside(campaign, tmp_path / "other", "curt")
    round = go(sending.send_to_gate(version=uploaded, actor=lead))
    judge_all(campaign, annotator, liked("kind"), most=1)
    client.force_login(lead)
    warning = "compares policy-1 with policy-0. Put this one into use"
    assert warning in client.get(reverse("model", args=[other.pk])).text
    client.post(reverse("model-promote", args=[other.pk]), {"reason": "The old one is broken."})
    round.refresh_from_db()
    loop.refresh_from_db()
    assert (round.state, loop.state) == (State.CANCELLED, Loop.State.PAUSED)
    assert "policy-2 was put into use while policy-1 was compared with policy-0" in str(round.note)
    stale = Event.objects.get(action="gate.stale")
    assert (stale.actor, stale.detail["in use"]) == (lead, "policy-2")
    assert judge_all(campaign, annotator, liked("kind")) == 0, "what it asked has left the queue"
    assert not GateReport.objects.exists() and warning not in client.get(reverse("model", args=[serving.pk])).text

    again = go(sending.send_to_gate(version=uploaded, actor=lead, reason="Beside the new one."))
    assert again.policy == other
    gate_orders.send(version=beside(campaign, tmp_path / "third", "calm"), actor=lead)
    promotion.roll_back(version=serving, actor=lead)
    following = loop.rounds.get(index=3)
    assert (following.policy, Round.objects.get(pk=again.pk).state) == (serving, State.CANCELLED)
    promotion.promote(version=uploaded, actor=lead, reason="It is urgent.")
    assert go(following).policy == uploaded, "its gate had not opened yet, and is held beside the one in use"
    promotion.promote(version=following.candidate, actor=lead, reason="So is this.")
    assert "Send" not in str(Round.objects.get(pk=following.pk).note)
    assert Event.objects.filter(action="gate.stale").count() == 3


def test_a_round_ends_where_its_candidate_is_in_use_before_its_gate_opens(
    loop: Loop, uploaded: ModelVersion, lead: User
) -> None:
    round = sending.send_to_gate(version=uploaded, actor=lead)
    promotion.promote(version=uploaded, actor=lead, reason="It is urgent.")
    assert go(round).state == State.CANCELLED and not round.runs.exists()
    assert "nothing is left to decide" in str(round.note)


@pytest.mark.parametrize("better", ["kind", "curt"])
def test_a_loop_pauses_after_the_gate_that_waited_for_its_last_rejection(
    loop: Loop, uploaded: ModelVersion, campaign: Campaign, annotator: User, lead: User, better: str
) -> None:
    """Whichever way that gate decides: nothing follows, as nothing would have without it."""
    rounds.configure(loop=loop, settings={"rejections_in_a_row": 1}, actor=lead)
    own = go(rounds.start_round(loop=loop, actor=lead))
    gate_orders.send(version=uploaded, actor=lead)
    judge_all(campaign, annotator, first)
    go(own)
    judge_all(campaign, annotator, lambda task: -for_candidate(task))
    assert go(own).state == State.REJECTED and "Next policy-1 is compared" in str(own.note)
    loop.refresh_from_db()
    assert loop.state == Loop.State.ACTIVE
    second = go(loop.rounds.get(index=2))
    judge_all(campaign, annotator, liked(better))
    assert go(second).state == (State.PROMOTED if better == "kind" else State.REJECTED)
    loop.refresh_from_db()
    assert (loop.state, loop.rounds.count()) == (Loop.State.PAUSED, 2)
    assert better == "kind" or "The loop is paused." in str(second.note)


def test_a_copy_in_another_folder_is_the_same_candidate(
    loop: Loop, campaign: Campaign, annotator: User, lead: User, tmp_path: Path
) -> None:
    """Its header says something else and its tensors lie in two files; one that differs in a byte is another one."""
    first_ = weighing(campaign, tmp_path / "one", {"a": b"1234", "b": b"5678"})
    round = go(sending.send_to_gate(version=first_, actor=lead))
    judge_all(campaign, annotator, liked("curt"))
    assert go(round).state == State.REJECTED
    copy = weighing(campaign, tmp_path / "copy", {"b": b"5678"}, {"a": b"1234"}, note="a copy")
    second = go(sending.send_to_gate(version=copy, actor=lead))
    assert second.state == State.CANCELLED and not second.runs.exists()
    assert "policy-2 has the very weights of policy-1" in str(second.note)
    copy.refresh_from_db()
    with pytest.raises(WrongState, match="decided on policy-1 already"):
        sending.send_to_gate(version=copy, actor=lead)
    other = weighing(campaign, tmp_path / "other", {"a": b"1234", "b": b"5679"})
    third = go(sending.send_to_gate(version=other, actor=lead))
    assert third.state == State.GATING
    other.refresh_from_db()
    first_.refresh_from_db()
    assert first_.weights == copy.weights
    assert other.weights not in ("", copy.weights)
    assert not weights.fingerprint(tmp_path), "no tensors"
    assert not weights.of(versions.add(campaign=campaign, kind="policy", path="org/model"))
    (tmp_path / "one" / "0.safetensors").write_bytes(b"no such file")
    assert weights.fingerprint(tmp_path / "one") == ""


def weighing(campaign: Campaign, folder: Path, *files: dict[str, bytes], note: str = "") -> ModelVersion:
    """Register a policy with a file of safetensors for each of `files`, tensors by name."""
    version = beside(campaign, folder, "kind")
    for number, tensors in enumerate(files):
        header: dict[str, Any] = {"__metadata__": {"note": note}}
        for place, name in enumerate(tensors):
            header[name] = {"dtype": "U8", "shape": [4], "data_offsets": [4 * place, 4 * place + 4]}
        told = json.dumps(header).encode()
        file = folder / f"{number}.safetensors"
        file.write_bytes(len(told).to_bytes(8, "little") + told + b"".join(tensors.values()))
    return version
