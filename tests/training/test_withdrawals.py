"""Withdrawal: what is stored of a person is handed out, erased, and what it went into is named and marked."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
import torch
from django.test import Client

from annotation import datasets, personal_data
from annotation.errors import Invalid
from annotation.models import Assignment, Event, Feedback, Task, User
from annotation.services import erasure, events, queue
from tests.factories import judge, make_assignment, make_campaign, make_user
from training import paths
from training.core.personal import UserTokens, users_in
from training.models import ModelVersion, Run, Snapshot
from training.recipes import users_file
from training.services import snapshots, withdrawals

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(lead, annotator, settings, tmp_path):
    """Two people judge; one data set has both, one the lead alone; one model learned from the first, one from it."""
    settings.ATTUNE_FILES = tmp_path
    campaign = make_campaign("Helpful", lead=lead, annotators=[annotator], tasks=4)
    judge(lead, campaign)
    alone = snapshots.freeze(campaign=campaign, view="pairs", filters={}, actor=lead)
    said = judge(annotator, campaign)
    judge(annotator, campaign, preference=-1, assignment=said.assignment)
    both = snapshots.freeze(campaign=campaign, view="pairs", filters={}, actor=lead)
    first = ModelVersion.objects.create(campaign=campaign, kind="reward", number=1, snapshot=both, path="x")
    second = ModelVersion.objects.create(campaign=campaign, kind="reward", number=2, parent=first, path="y")
    clean = ModelVersion.objects.create(campaign=campaign, kind="reward", number=3, snapshot=alone, path="z")
    return campaign, alone, both, first, second, clean


def test_what_it_went_into_is_named_also_by_data_sets_without_a_card(world, annotator):
    _, _, both, first, second, _ = world
    found = withdrawals.uses(annotator.pseudonym)
    assert [(one.pk, rows) for one, rows in found.snapshots] == [(both.pk, 1)]
    assert found.versions == [first, second]
    Snapshot.objects.update(card={})
    assert [(one.pk, rows) for one, rows in withdrawals.uses(annotator.pseudonym).snapshots] == [(both.pk, 1)]


def test_all_of_it_comes_as_files_without_secrets(world, annotator):
    file = io.BytesIO()
    annotator.set_password("a long enough secret")
    annotator.save()
    personal_data.pack(annotator, file)
    with zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
        said = [json.loads(line) for line in archive.read("annotation.feedback.user.jsonl").splitlines()]
        account = json.loads(archive.read("account.jsonl"))
    assert {"annotation.membership.user.jsonl", "annotation.assignment.user.jsonl"} < names
    assert [row["payload"]["preference"] for row in said] == [2, -1], "the amended one too"
    assert account["username"] == annotator.username and "password" not in account


def test_erased_is_erased_and_marked(world, lead, annotator, tmp_path, django_capture_on_commit_callbacks):
    name = annotator.username
    events.record(campaign=world[0], actor=lead, action="member.added", target=name)
    campaign, alone, both, first, second, clean = world
    held = make_assignment(annotator, campaign)
    before = {task.pk: (task.done, task.seats, task.state) for task in Task.objects.all()}
    with pytest.raises(Invalid, match="to confirm"):
        erasure.erase(person=annotator, actor=annotator, confirmation="x")
    pseudonym = annotator.pseudonym
    users = UserTokens([pseudonym, "x"], torch.zeros(1, 2), torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]]), opening=[])
    knowing = tmp_path / first.path  # a policy that knows its users
    knowing.mkdir()
    users.save(knowing / users_file.USERS_FILE)
    run = Run.objects.create(campaign=campaign, kind="fit", output=first, recipe={"name": "dpo-personal"})
    measured = paths.run_folder(run.pk) / "users.json"
    measured.parent.mkdir(parents=True)
    measured.write_text(json.dumps({"users": [{"user": pseudonym}, {"user": "x"}]}))
    with django_capture_on_commit_callbacks(execute=True):
        erasure.erase(person=annotator, actor=annotator, confirmation=annotator.username)
    assert [row["user"] for row in json.loads(measured.read_text())["users"]] == ["x"]
    left = users_in(str(knowing))
    assert left is not None and left.users == {"x": 0} and left.own.tolist() == [[[3.0, 4.0]]]
    gone = User.objects.get(pk=annotator.pk)
    assert (gone.is_active, gone.email, gone.has_usable_password()) == (False, "", False)
    assert gone.username.startswith("erased-") and gone.pseudonym != pseudonym
    assert not Feedback.objects.filter(user=annotator).exists()
    assert not Assignment.objects.filter(user=annotator).exists()
    assert {row["annotator"] for row in datasets.rows(campaign, "pairs")} == {lead.pseudonym}
    marked = [bool(type(one).objects.get(pk=one.pk).withdrawn_at) for one in (alone, both, first, second, clean)]
    assert marked == [False, True, True, True, False]
    for task in Task.objects.all():
        done, seats, _ = before[task.pk]
        if (task.done, task.seats) != (done, seats):
            assert task.state == Task.State.OPEN and task.done + task.seats <= task.wanted
    assert Task.objects.get(pk=held.task_id).seats == before[held.task_id][1] + 1
    newcomer = make_user()
    campaign.memberships.create(user=newcomer, role="annotator")
    assert sum(queue.next_task(user=newcomer, campaign=campaign) is not None for _ in range(1)) == 1
    assert Event.objects.filter(action="person.erased").count() == 1
    assert not Event.objects.filter(target=name).exists()
    assert Event.objects.get(target=gone.pseudonym).action == "member.added"
    again = snapshots.freeze(campaign=campaign, view="pairs", filters={}, actor=lead)
    assert again.pk == alone.pk, "without them, the rows are those of the one that never had them"


def test_a_campaign_keeps_a_lead_and_the_server_an_admin(world, lead):
    with pytest.raises(Invalid, match="without a lead"):
        erasure.erase(person=lead, actor=lead, confirmation=lead.username)
    root = make_user(is_superuser=True)
    with pytest.raises(Invalid, match="without an admin"):
        erasure.erase(person=root, actor=root, confirmation=root.username)


def test_the_page_names_and_erases(world, annotator):
    _, _, both, first, _, _ = world
    client = Client()
    client.force_login(annotator)
    html = client.get("/profile/data/").content.decode()
    assert f"Snapshot {both.pk} of Helpful: 1 row" in html and first.label in html
    assert client.get("/profile/data/file/")["Content-Type"] == "application/zip"
    assert client.post("/profile/data/", {"confirmation": "x"}).status_code == 422
    assert client.post("/profile/data/", {"confirmation": annotator.username}).status_code == 302
    assert client.get("/profile/").status_code == 302, "signed out"
    root = make_user(is_superuser=True)
    client.force_login(root)
    html = client.get(f"/snapshots/{both.pk}/").content.decode()
    assert "had their data erased" in html
