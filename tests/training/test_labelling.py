"""Rounds whose pairs a model labels: who may label, what people still judge, and when the implied reward is refused."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.models import Campaign, Event, Feedback, Task, User
from annotation.told import of
from tests.training.round_world import first, for_candidate, go, judge_all
from training import launch, paths
from training.errors import Invalid, WrongState
from training.models import Loop, ModelVersion, Round, Run
from training.services import asked, rounds, runs, snapshots, versions
from training.services.labelling import implied

pytestmark = pytest.mark.django_db(transaction=True)

State = Round.State


def lines(path: str) -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def learned_from_people(loop: Loop, campaign: Campaign, annotator: User, lead: User) -> ModelVersion:
    """Return the policy in use after a round that people labelled, which trained a reward model too."""
    round = rounds.start_round(loop=loop, actor=lead)
    go(round)
    judge_all(campaign, annotator, first)
    go(round)
    judge_all(campaign, annotator, for_candidate)
    rounds.configure(loop=loop, settings={"auto_continue": False}, actor=lead)
    assert go(round).state == State.PROMOTED, str(round.note)
    assert round.candidate is not None
    return round.candidate


def said(campaign: Campaign) -> str:
    """Return what the last round told when its policy began to answer."""
    event = Event.objects.filter(campaign=campaign, action="round.sampling").latest("pk")
    return str(of(event.detail["note"]))


def measured(policy: ModelVersion, more: float) -> Run:
    """Return a finished report on a policy, as the core writes it; the report itself is tested in tests/core."""
    reward = ModelVersion.objects.get(campaign=policy.campaign, kind="reward")
    run = runs.create(
        campaign=policy.campaign,
        recipe="shift-report",
        knobs={"familiar": "here"},
        actor=None,
        parent=policy,
        inputs={"data": "pairs.jsonl", "scorers": {"reward": reward.path}},
    )
    Run.objects.filter(pk=run.pk).update(state="succeeded", result={"metrics": {"implicit_loses_more": more}})
    return run


def test_the_reward_model_labels_and_people_judge_the_audit_slice_alone(
    loop: Loop, campaign: Campaign, lead: User, tmp_path: Path
) -> None:
    rounds.configure(loop=loop, settings={"labeller": "explicit"}, actor=lead)
    with pytest.raises(WrongState, match="there is none in use"):
        rounds.start_round(loop=loop, actor=lead)
    folder = tmp_path / "reward"
    folder.mkdir()
    reward = versions.register(
        campaign=campaign, kind="reward", path=str(folder), actor=None, state=ModelVersion.State.PROMOTED
    )
    round = rounds.start_round(loop=loop, actor=lead)
    assert go(round).state == State.GATING, str(round.note)
    assert round.snapshot is None and sorted(round.runs.values_list("purpose", flat=True)) == [
        "gate",
        "policy",
        "sample",
    ]
    tasks = Task.objects.filter(campaign=campaign, batch="round-1")
    assert tasks.count() == 2 and all(task.is_audit and task.state == "open" for task in tasks)
    drawn, learned = (Run.objects.get(round=round, purpose=purpose) for purpose in ("sample", "policy"))
    assert drawn.inputs["scorers"] == {"reward": reward.path} and drawn.recipe["knobs"]["labeller"] == "explicit"
    spec = launch.spec_of(learned)
    assert spec.data is not None
    pairs = lines(spec.data)
    assert len(pairs) == 8 and {row["source"] for row in pairs} == {"reward"}
    asked = {row["id"]: row for row in lines(str(paths.run_folder(drawn.pk) / "samples.jsonl"))}
    for row in pairs:
        assert not asked[row["id"]]["audit"] and "answer 1" in row["chosen"] and "answer 0" in row["rejected"]
    assert not set(round.held_out) & {row["id"] for row in pairs}


def test_a_model_labels_the_share_of_the_prompts_that_the_selection_values_most(
    loop: Loop, campaign: Campaign, lead: User, tmp_path: Path
) -> None:
    """Of ten prompts two are the audit slice; the toy asks about every other one of all ten, four of them no audit."""
    folder = tmp_path / "reward"
    folder.mkdir()
    versions.register(campaign=campaign, kind="reward", path=str(folder), actor=None, state=ModelVersion.State.PROMOTED)
    rounds.configure(loop=loop, settings={"labeller": "explicit", "asked_share": 0.5}, actor=lead)
    round = rounds.start_round(loop=loop, actor=lead)
    assert go(round).state == State.GATING, str(round.note)
    drawn = Run.objects.get(round=round, purpose="sample")
    assert drawn.recipe["knobs"]["asked_share"] == 0.5
    data = launch.spec_of(Run.objects.get(round=round, purpose="policy")).data
    assert data is not None
    rows = {row["id"]: row for row in lines(str(paths.run_folder(drawn.pk) / "samples.jsonl"))}
    asked = {id_ for id_, row in rows.items() if row["asked"] and not row["audit"]}
    assert {row["id"] for row in lines(data)} == asked and len(asked) == 4
    tasks = Task.objects.filter(campaign=campaign, batch="round-1")
    assert tasks.count() == 2 and all(task.is_audit for task in tasks), "people judge the audit slice alone"
    event = Event.objects.filter(campaign=campaign, action="round.labelling").latest("pk")
    told = str(of(event.detail["note"]))
    assert "A model labelled 4 pairs." in told and "4 prompts are not asked about" in told


def labelled_in_part(loop: Loop, campaign: Campaign, lead: User, folder: Path, **settings: object) -> Round:
    """Return a round under way whose reward model, registered from `folder`, leaves half of the pairs to people."""
    folder.mkdir()
    promoted = ModelVersion.State.PROMOTED
    versions.register(campaign=campaign, kind="reward", path=str(folder), actor=None, state=promoted)
    rounds.configure(loop=loop, settings={"labeller": "explicit", "doubtful_share": 0.5, **settings}, actor=lead)
    return rounds.start_round(loop=loop, actor=lead)


@pytest.mark.parametrize(
    ("below", "share", "says"),
    [
        (0.99, 0.95, "NN of 8 pairs have a label that is less probable than 99% by the model. All of these went to"),
        (
            0.99,
            0.1,
            "NN of 8 pairs have a label that is less probable than 99% by the model. 1 of these went to people,",
        ),
        (0.5, 0.95, "0 of 8 pairs have a label that is less probable than 50% by the model. None went to people."),
        (1.0, 0.5, "4 of 8 pairs, those that the model is least certain of, went to people."),
    ],
)
def test_people_judge_what_is_below_a_threshold_up_to_the_share(
    loop: Loop, campaign: Campaign, lead: User, tmp_path: Path, below: float, share: float, says: str
) -> None:
    asked = {"doubtful_share": share, "doubtful_below": below}
    round = labelled_in_part(loop, campaign, lead, tmp_path / "reward", **asked)
    waits = State.LABELLING if below > 0.5 else State.GATING  # nothing waits for people where there is nothing for them
    assert go(round).state == waits, str(round.note)
    drawn = Run.objects.get(round=round, purpose="sample")
    rows = [row for row in lines(str(paths.run_folder(drawn.pk) / "samples.jsonl")) if "label_probability" in row]
    under = [row for row in rows if row["label_probability"] < below]
    counts = drawn.result["counts"]
    assert len(rows) == counts["labellable"] == 8 and len(under) == counts["unsure"]
    assert counts["doubtful"] + counts["labelled"] == 8
    page = Client()
    page.force_login(lead)
    assert says.replace("NN", str(len(under))) in page.get(reverse("round", args=[round.pk])).text
    if below < 1:
        assert f"those whose label is less probable than {below:.0%}, up to {share:.0%} of them" in said(campaign)


def test_people_judge_what_the_model_doubts_and_the_policy_learns_from_both(
    loop: Loop, campaign: Campaign, annotator: User, lead: User, tmp_path: Path
) -> None:
    """Of ten pairs two are the audit slice, drawn from all; of the other eight the model labels four."""
    round = labelled_in_part(loop, campaign, lead, tmp_path / "reward")
    assert go(round).state == State.LABELLING, str(round.note)
    told = str(round.note)
    assert "A model labelled 4 pairs. 4 pairs that it is not certain of wait for people. 2 pairs drawn at" in told
    assert "the audit slice and 50% of the other pairs, those it is least certain of" in said(campaign)
    page, client = Client(), APIClient()
    page.force_login(lead)
    client.force_authenticate(lead)
    assert "4 pairs that it is not certain of wait for people" in page.get(reverse("loop", args=[campaign.pk])).text
    form = page.get(reverse("loop-edit", args=[campaign.pk])).context["form"]
    assert form.initial["doubtful_share"] == "0.5"
    assert client.get(reverse("api-loop", args=[campaign.pk])).json()["settings"]["doubtful_share"] == 0.5
    assert judge_all(campaign, annotator, first) == 6
    assert go(round).state == State.GATING, str(round.note)

    learned, drawn = (Run.objects.get(round=round, purpose=purpose) for purpose in ("policy", "sample"))
    data = launch.spec_of(learned).data
    assert data is not None and round.snapshot is not None and learned.snapshot == round.snapshot
    of_people = [row for row in lines(data) if row.get("annotator")]
    of_model = [row for row in lines(data) if not row.get("annotator")]
    assert of_people == list(snapshots.lines(round.snapshot)) and len(of_people) == 4
    assert len(of_model) == 4 and {row["labelled_by"] for row in of_model} == {"reward-0"}
    rows = {row["id"]: row for row in lines(str(paths.run_folder(drawn.pk) / "samples.jsonl"))}
    assert not any(rows[row["id"]]["doubtful"] or rows[row["id"]]["audit"] for row in of_model)
    assert {row["prompt"][0]["content"] for row in of_people} == {
        row["prompt"][0]["content"] for row in rows.values() if row["doubtful"]
    }

    assert "with pairs that a model labelled:" in page.get(reverse("run", args=[learned.pk])).text

    # What the model says is nobody's judgement: agreement and what the reward model learns from know people's six.
    assert Feedback.objects.filter(task__campaign=campaign).count() == 6
    assert Run.objects.get(round=round, purpose="reward").snapshot == round.snapshot
    candidate = round.candidate
    assert candidate is not None
    [told_of_round] = asked.of_loop(loop)
    assert (told_of_round.rule, told_of_round.pairs, told_of_round.audit_pairs) == ("best_worst, doubted", 4, 2)
    told_of = versions.lineage(candidate)
    assert [one["label"] for one in told_of["scored_by"]] == ["reward-0"] and told_of["judgements"] == 4
    assert len(snapshots.learned_prompts(candidate)) == 8, "no gate may ask about what a model labelled either"
    assert implied(candidate) is None, "a policy that learned from labels would only repeat them"

    judge_all(campaign, annotator, for_candidate)
    assert go(round).state == State.PROMOTED, str(round.note)
    second = Round.objects.get(loop=loop, index=2)
    go(second)
    judge_all(campaign, annotator, first)
    assert go(second).state == State.GATING, str(second.note)
    data = launch.spec_of(Run.objects.get(round=second, purpose="policy")).data
    assert data is not None
    mixed = lines(data)
    assert sum("labelled_by" in row for row in mixed) == 6 and len(mixed) == 12, "half as many of each again"
    assert {row.get("labelled_by") for row in mixed} == {None, "reward-0", "reward-1"}


def test_where_people_call_all_that_the_model_doubts_equal_the_policy_learns_from_its_labels(
    loop: Loop, campaign: Campaign, annotator: User, lead: User, tmp_path: Path
) -> None:
    round = labelled_in_part(loop, campaign, lead, tmp_path / "reward", deadline_hours=1, minimum_share=0.5)
    go(round)
    judge_all(campaign, annotator, lambda task: 0, most=3)
    assert not rounds.advance(round.pk), "people have until the deadline"
    Round.objects.filter(pk=round.pk).update(labelling_started_at=timezone.now() - timedelta(hours=2))
    assert go(round).state == State.GATING, str(round.note)
    assert round.snapshot is None and not Run.objects.filter(round=round, purpose="reward").exists()
    data = launch.spec_of(Run.objects.get(round=round, purpose="policy")).data
    assert data is not None and len(lines(data)) == 4


def test_earlier_labelled_pairs_are_mixed_in(
    loop: Loop, campaign: Campaign, annotator: User, lead: User, tmp_path: Path
) -> None:
    learned_from_people(loop, campaign, annotator, lead)
    rounds.configure(loop=loop, settings={"labeller": "explicit"}, actor=lead)
    counts = []
    for _ in range(2):
        round = rounds.start_round(loop=loop, actor=lead)
        go(round)
        judge_all(campaign, annotator, for_candidate)
        assert go(round).state == State.PROMOTED, str(round.note)
        data = launch.spec_of(Run.objects.get(round=round, purpose="policy")).data
        assert data is not None
        counts.append(len(lines(data)))
    assert counts == [8, 12], "half as many of the labelled round before, and nothing of what people judged"


def test_the_implied_reward_labels_with_a_warning_and_not_where_it_is_measured_to_lose_more(
    loop: Loop, campaign: Campaign, annotator: User, lead: User
) -> None:
    chosen = {"labeller": "implicit"}
    rounds.configure(loop=loop, settings=chosen, actor=lead)
    with pytest.raises(WrongState, match="policy-0 implies no reward"):
        rounds.start_round(loop=loop, actor=lead)
    rounds.configure(loop=loop, settings={"labeller": "human"}, actor=lead)
    policy = learned_from_people(loop, campaign, annotator, lead)
    before = policy.parent
    assert before is not None

    rounds.configure(loop=loop, settings=chosen, actor=lead)
    bad = measured(policy, 0.05)
    with pytest.raises(WrongState, match=r"loses 5% more of its accuracy .* 3% is the most"):
        rounds.start_round(loop=loop, actor=lead)
    with pytest.raises(Invalid) as refused:
        rounds.configure(loop=loop, settings={**chosen, "replay": 0.1}, actor=lead)
    assert "Let the reward model label (explicit)" in refused.value.errors["labeller"][0]
    client = APIClient()
    client.force_authenticate(lead)
    answer = client.patch(reverse("api-loop", args=[campaign.pk]), {"settings": chosen}, format="json")
    assert answer.status_code == 422 and "loses 5% more" in answer.json()["errors"]["labeller"][0]

    page = Client()
    page.force_login(lead)
    shown = page.get(reverse("loop-edit", args=[campaign.pk])).context["form"].initial
    sent = page.post(
        reverse("loop-edit", args=[campaign.pk]), {name: value for name, value in shown.items() if value is not False}
    )
    assert sent.status_code == 422 and "loses 5% more of its accuracy" in sent.content.decode()

    bad.delete()
    round = rounds.start_round(loop=loop, actor=lead)
    assert go(round).state == State.GATING, str(round.note)
    told = said(campaign)
    assert "people judge the audit slice alone" in told and "Nobody has measured how much" in told
    run = Run.objects.get(round=round, purpose="sample")
    assert run.inputs["scorers"]["implied"] == policy.path and run.inputs["reference"] == before.path
    assert run.recipe["knobs"]["beta"] == policy.recipe["knobs"]["beta"]
    rounds.cancel(round=round, actor=lead)
    measured(policy, 0.02)
    round = rounds.start_round(loop=loop, actor=lead)
    rounds.advance(round.pk)
    assert "As measured it loses 2% more" in said(campaign)


def test_what_is_measured_while_a_round_is_open_stops_it_before_it_is_labelled(
    loop: Loop, campaign: Campaign, annotator: User, lead: User
) -> None:
    policy = learned_from_people(loop, campaign, annotator, lead)
    rounds.configure(loop=loop, settings={"labeller": "implicit"}, actor=lead)
    round = rounds.start_round(loop=loop, actor=lead)
    measured(policy, 0.2)
    assert go(round).state == State.STALLED and "loses 20% more" in str(of(round.note))
    rounds.configure(loop=loop, settings={"labeller": "human"}, actor=lead)
    assert go(rounds.resume(round=round, actor=lead)).state == State.LABELLING


@pytest.mark.parametrize(
    ("values", "field", "why"),
    [
        ({"labeller": "explicit", "gate_human_pairs": 0}, "gate_human_pairs", "cannot be the one that decides"),
        (
            {"labeller": "implicit", "policy_recipe": "rloo"},
            "labeller",
            "does not learn from pairs that a model labels",
        ),
        ({"labeller": "nobody"}, "labeller", "human, explicit, implicit"),
        ({"doubtful_share": 0.5}, "doubtful_share", "People judge every pair already"),
        ({"labeller": "explicit", "doubtful_below": 0.8}, "doubtful_below", "Set doubtful_share above 0"),
    ],
)
def test_settings_that_do_not_go_together(loop: Loop, lead: User, values: dict, field: str, why: str) -> None:
    with pytest.raises(Invalid) as refused:
        rounds.configure(loop=loop, settings=values, actor=lead)
    assert why in refused.value.errors[field][0]
