"""Frozen data sets over REST and by page: a lead freezes, compares, looks for overlaps, downloads; others may not."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from django.test import Client
from rest_framework.test import APIClient

from tests.factories import judge, make_campaign, make_user
from training.models import Snapshot

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def files(settings, tmp_path):
    settings.ATTUNE_FILES = tmp_path / "files"


@pytest.fixture
def campaign(lead, annotator):
    return make_campaign("Helpful", lead=lead, annotators=[annotator], tasks=4)


def client_of(user):
    client = APIClient()
    client.force_authenticate(user)
    return client


def test_freeze_read_compare_and_look_for_overlaps(campaign, lead, annotator):
    client = client_of(lead)
    judge(annotator, campaign)
    base = f"/api/training/campaigns/{campaign.pk}/snapshots/"
    first = client.post(base, {"view": "pairs", "licence": "cc0-1.0"}, format="json").json()
    judge(annotator, campaign)
    asked = {"view": "pairs", "filters": {"group_near_duplicates": False, "since": "2020-01-01", "min_severity": 0}}
    second = client.post(base, asked, format="json")
    assert second.status_code == 201, second.content
    number = second.json()["id"]
    path = f"/api/training/snapshots/{number}/"
    detail = client.get(path).json()
    assert detail["card"]["annotators"] == {annotator.pseudonym: 2} and detail["pushed"] == []
    rows = b"".join(client.get(path + "rows/").streaming_content).splitlines()
    assert len(rows) == 2 and json.loads(rows[0])["annotator"] == annotator.pseudonym
    diff = client.get(path + "diff/", {"older": first["id"]}).json()
    assert (diff["added"], diff["same"], diff["rows"][0]["what"]) == (1, 1, "added")
    overlaps = client.get(path + "overlaps/", {"suite": f"snapshot:{number}", "n": 8})
    assert overlaps.status_code == 200 and overlaps.json()["more"] is False
    with zipfile.ZipFile(io.BytesIO(b"".join(client.get(path + "folder/").streaming_content))) as archive:
        assert "README.md" in archive.namelist()
    assert client.post(path + "push/", {"repository": "a/b"}, format="json").status_code == 409
    for wrong in ({"view": "pairs", "filters": {"since": "x"}}, {"view": "pairs", "filters": {"colour": "red"}}):
        assert client.post(base, wrong, format="json").status_code in (400, 422)
    assert client.get(path + "overlaps/", {"suite": "/etc"}).status_code == 422
    assert client.get(path + "diff/", {"older": 999}).status_code == 404
    for person, status in ((annotator, 403), (make_user(), 404)):
        for part in ("", "rows/", "folder/", "diff/?older=1", "overlaps/?suite=x"):
            assert client_of(person).get(path + part).status_code == status, part
    stranger = make_user()
    other = make_campaign("Theirs", lead=stranger)
    theirs = client_of(stranger).post(
        f"/api/training/campaigns/{other.pk}/snapshots/",
        {"view": "prompts", "filters": {"decontaminate": {"suites": [f"snapshot:{number}"]}}},
        format="json",
    )
    assert theirs.status_code == 404, "nobody reads of a data set by way of its overlaps"


def test_the_pages(campaign, lead, annotator):
    client = Client()
    client.force_login(lead)
    judge(annotator, campaign)
    address = f"/campaigns/{campaign.pk}/snapshots/"
    assert "None yet" in client.get(address).content.decode()
    made = client.post(address, {"view": "pairs", "licence": "cc-by-4.0", "suites": "", "n": "13"})
    assert made.status_code == 302
    snapshot = Snapshot.objects.get()
    judge(annotator, campaign)
    client.post(address, {"view": "pairs", "without_simulated": "on", "adjudicated": "on", "min_weight": "0"})
    newer = Snapshot.objects.order_by("-id").first()
    assert newer.filters == {"include_simulated": False, "adjudicated": True, "min_weight": 0.0}
    html = client.get(f"/snapshots/{newer.pk}/", {"older": snapshot.pk}).content.decode()
    assert "Added: 1. Removed: 0. Changed: 0. The same: 1." in html
    html = client.get(f"/snapshots/{newer.pk}/", {"suites": f"snapshot:{newer.pk}", "n": "8"}).content.decode()
    assert "No row shares" in html or "Table: Overlaps" in html
    assert client.get(f"/snapshots/{newer.pk}/", {"suites": "/etc"}).status_code == 422
    assert client.post(address, {"view": "pairs", "suites": "/etc"}).status_code == 422
    assert client.post(address, {"view": "pears"}).status_code == 422
    assert "cc-by-4.0" in client.get(f"/snapshots/{snapshot.pk}/").content.decode()
    assert client.post(f"/snapshots/{snapshot.pk}/push/", {"repository": "x"}, follow=True).status_code == 200
    client.force_login(annotator)
    assert client.get(address).status_code == client.get(f"/snapshots/{snapshot.pk}/").status_code == 403
    client.force_login(make_user())
    assert client.get(address).status_code == client.get(f"/snapshots/{snapshot.pk}/").status_code == 404
