"""A large file over REST: sent in parts, gone on with after an interruption, imported as often as one likes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from annotation.importing import partial
from annotation.models import Campaign, Task, User
from tests.factories import make_campaign, make_user

ROWS = [{"id": f"q{number}", "prompt": f"Question {number}?", "completions": ["yes", "no"]} for number in range(40)]
FILE = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
NAMED = {"name": "pairs of März.jsonl", "size": len(FILE), "key": "1"}


@pytest.fixture
def campaign(lead: User) -> Campaign:
    return make_campaign("Helpfulness", lead=lead)


@pytest.fixture
def client(lead: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(lead)
    return client


class Uploader:
    def __init__(self, client: APIClient, campaign: Campaign) -> None:
        self._client, self._campaign = client, campaign
        self._address = reverse("api-upload", args=[campaign.pk])

    def state(self, **changed: Any) -> dict[str, Any]:
        return self._client.get(self._address, {**NAMED, **changed}).json()

    def put(self, at: int, body: bytes, **changed: Any) -> Any:
        query = "&".join(f"{name}={value}" for name, value in {**NAMED, **changed, "at": at}.items())
        return self._client.put(f"{self._address}?{query}", body, content_type="application/octet-stream")

    def import_it(self, token: str) -> Any:
        return self._client.post(reverse("api-import", args=[self._campaign.pk]) + f"?upload={token}")


def test_an_upload_goes_on_from_what_is_there_and_is_imported_once(client: APIClient, campaign: Campaign) -> None:
    upload = Uploader(client, campaign)
    state = upload.state()
    assert (state["there"], state["size"]) == (0, len(FILE))
    assert upload.put(0, FILE[:1000]).json()["there"] == 1000
    early = upload.put(2000, FILE[2000:])
    assert early.status_code == 409
    assert early.json()["errors"] == {"at": ["1000"]}
    assert upload.put(0, b"x" * 700).json()["there"] == 1000, "what came before stays as it is"
    assert upload.import_it(state["upload"]).status_code == 422, "it is not whole yet"
    assert upload.state()["there"] == 1000, "as a script asks that was started anew"
    assert upload.put(1000, FILE[1000:]).json()["there"] == len(FILE)
    assert upload.state()["there"] == len(FILE)
    assert upload.put(1000, FILE[1000:]).json()["there"] == len(FILE), "its answer was lost on the way"
    assert upload.import_it(state["upload"]).json()["created"] == 40
    again = upload.import_it(state["upload"]).json()
    assert (again["created"], again["existing"]) == (0, 40)
    assert Task.objects.filter(campaign=campaign).count() == 40


def test_what_does_not_fit_is_said(client: APIClient, campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = Uploader(client, campaign)
    assert "of 10 that are missing" in upload.put(0, FILE, size=10).json()["detail"]
    assert upload.put(0, b"").status_code == 422
    assert upload.put(0, b"x", size=0).status_code == 400
    assert upload.put(0, b"x", name="a%00b").status_code == 422
    monkeypatch.setattr(partial, "MOST_PART_BYTES", 100)
    assert "at most" in upload.put(0, FILE).json()["detail"]
    assert upload.state()["there"] == 0


def test_an_upload_is_its_owners_and_of_one_campaign(client: APIClient, campaign: Campaign, lead: User) -> None:
    upload = Uploader(client, campaign)
    token = upload.put(0, FILE).json()["upload"]
    other = make_user()
    elsewhere = make_campaign("Other", lead=other)
    strange = APIClient()
    strange.force_authenticate(other)
    assert Uploader(strange, elsewhere).import_it(token).status_code == 422
    assert Uploader(strange, campaign).import_it(token).status_code == 404
