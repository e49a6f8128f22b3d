"""Prompts with an answer each that people know to be good: which one it is, by whose judgements, who asks for it."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from tests.factories import judge, make_assignment, make_campaign, make_task, make_user
from training.errors import Invalid
from training.models import ModelVersion, Run, Snapshot
from training.services import snapshots, versions, withdrawals

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def files(settings, tmp_path):
    settings.ATTUNE_FILES = tmp_path / "files"


def answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def frozen(campaign, anchor):
    found = snapshots.freeze(campaign=campaign, view="prompts", filters={"anchors": anchor}, actor=None)
    return found, {row["prompt"][0]["content"]: row for row in snapshots.lines(found)}


def test_the_chosen_answer_is_the_one_that_most_prefer_and_tells_who_does(lead):
    people = [make_user(f"person {number}") for number in range(3)]
    campaign = make_campaign(lead=lead, annotators=people, overlap=3)
    for prompt, audit in (("Agreed?", False), ("Split?", False), ("Audit?", True), ("Open?", False)):
        make_task(campaign, prompt=prompt, completions=[f"{prompt} good", f"{prompt} bad"], is_audit=audit)
    with pytest.raises(Invalid, match="Nobody has preferred an answer here yet"):
        frozen(campaign, "chosen")
    liked = {"Agreed?": (3, 3, -3), "Split?": (3, -3, 0), "Audit?": (3, 3, 3), "Open?": (0, 0, 0)}
    for place, person in enumerate(people):
        for _ in liked:
            assignment = make_assignment(person, campaign)
            shown = liked[assignment.task.content["messages"][0]["content"]][place]
            judge(person, campaign, preference=shown, assignment=assignment)
    snapshot, rows = frozen(campaign, "chosen")
    assert rows["Agreed?"]["chosen"] == answer("Agreed? good")
    assert {one["annotator"] for one in rows["Agreed?"]["judgements"]} == {one.pseudonym for one in people[:2]}
    for prompt in ("Split?", "Audit?", "Open?"):
        assert rows[prompt]["chosen"] is None and rows[prompt]["judgements"] == [], prompt
    assert snapshot.card["annotators"] == {one.pseudonym: 1 for one in people[:2]}
    version = versions.register(campaign=campaign, kind="policy", path="org/policy", actor=lead)
    ModelVersion.objects.filter(pk=version.pk).update(snapshot=snapshot)
    version.refresh_from_db()
    lineage = versions.lineage(version)
    assert (lineage["judgements"], lineage["annotators"]) == (2, 2), "the policy rests on who preferred its anchors"
    assert withdrawals.uses(people[0].pseudonym).versions == [version]


def test_an_edit_is_what_a_person_wrote(lead, annotator):
    campaign = make_campaign(lead=lead, annotators=[annotator], kind="rewrite")
    make_task(campaign, prompt="Why?", completions=["so"])
    make_task(campaign, prompt="Who?", completions=["nobody"])
    written = judge(annotator, campaign, data={"text": "Because it rained.", "comment": ""})
    asked = written.task.content["messages"][0]["content"]
    _, rows = frozen(campaign, "edit")
    assert rows[asked]["edit"] == answer("Because it rained.") and rows[asked]["feedback"] == written.pk
    assert sum(row["edit"] is None for row in rows.values()) == 1
    with pytest.raises(Invalid, match="beside prompts alone"):
        snapshots.freeze(campaign=campaign, view="pairs", filters={"anchors": "edit"}, actor=None)


def test_a_run_over_rest_freezes_the_prompts_with_what_its_judge_needs(lead, annotator):
    campaign = make_campaign(lead=lead, annotators=[annotator], tasks=2)
    reward = versions.register(campaign=campaign, kind="reward", path="org/judge", actor=lead)
    client = APIClient()
    client.force_authenticate(lead)
    base = f"/api/training/campaigns/{campaign.pk}"
    asked = {"recipe": "ppo", "model": "org/base", "reward": reward.pk, "knobs": {"judge_against": "chosen"}}
    nobody = client.post(f"{base}/runs/", asked, format="json")
    assert nobody.status_code == 422 and "anchors" in nobody.json()["errors"]
    judge(annotator, campaign, preference=2)
    made = client.post(f"{base}/runs/", asked, format="json")
    assert made.status_code == 201, made.content
    run = Run.objects.get()
    assert run.recipe["knobs"]["judge_against"] == "chosen" and run.snapshot.filters == {"anchors": "chosen"}
    plain = client.post(f"{base}/snapshots/", {"view": "prompts"}, format="json").json()["id"]
    refused = client.post(f"{base}/runs/", {**asked, "snapshot": plain}, format="json")
    assert refused.status_code == 422 and "Freeze the prompts anew" in refused.json()["errors"]["snapshot"][0]
    given = client.post(f"{base}/snapshots/", {"view": "prompts", "filters": {"anchors": "chosen"}}, format="json")
    assert given.json()["id"] == run.snapshot_id, "the same bytes are the same snapshot"
    wrong = client.post(f"{base}/snapshots/", {"view": "prompts", "filters": {"anchors": "rivals"}}, format="json")
    assert wrong.status_code == 400
    usual = client.post(f"{base}/runs/", {**asked, "knobs": {}, "snapshot": plain}, format="json")
    assert usual.status_code == 201 and Snapshot.objects.count() == 2
