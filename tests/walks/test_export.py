"""Walk (ii): an engineer imports pairs, people judge them over REST, and `datasets` reads the export as it is."""

from __future__ import annotations

import json

import datasets
import pytest
from django.test import Client
from django.urls import reverse

from annotation.models import Role
from annotation.services import members
from tests.factories import PASSWORD, make_campaign, make_user

pytestmark = pytest.mark.django_db


def token_of(username: str) -> dict[str, str]:
    """Return the header of a token that this person asked for by name and password."""
    response = Client().post(
        reverse("api-token"), {"username": username, "password": PASSWORD}, content_type="application/json"
    )
    assert response.status_code == 201, response.content
    return {"authorization": f"Token {response.json()['token']}"}


def test_from_a_file_of_prompts_to_a_data_set(tmp_path) -> None:
    lead, ann, eva = (make_user(name, password=PASSWORD) for name in ("lea", "zwicky", "eva"))
    campaign = make_campaign("Pairs", lead=lead, annotators=[ann])
    members.add(campaign=campaign, username=eva.username, role=Role.ENGINEER, actor=lead)
    lines = [
        json.dumps({"id": f"q{n}", "prompt": f"Question {n}?", "completions": ["Yes.", f"Yes, because of {n}."]})
        for n in range(6)
    ]
    body = "\n".join([*lines[:3], "{ this is no JSON", *lines[3:]])
    client = Client()

    sent = client.post(
        reverse("api-import", args=[campaign.pk]), body, content_type="application/x-ndjson", headers=token_of("lea")
    )
    report = sent.json()
    assert report["created"] == 6
    assert [error["line"] for error in report["errors"]] == [4]

    header = token_of("zwicky")
    for _ in range(6):
        handed = client.post(reverse("api-next", args=[campaign.pk]), content_type="application/json", headers=header)
        assert handed.status_code == 200, handed.content
        item = handed.json()
        texts = item["completions"]
        answer = {"preference": "1" if len(texts[0]) > len(texts[1]) else "7", "client_key": f"k-{item['key']}"}
        done = client.post(
            reverse("api-submit", args=[item["key"]]), answer, content_type="application/json", headers=header
        )
        assert done.status_code in (200, 201), done.content
    assert (
        client.post(
            reverse("api-next", args=[campaign.pk]), content_type="application/json", headers=header
        ).status_code
        == 204
    )

    # An annotator may judge and no more; an engineer may take the data home.
    address = reverse("api-export", args=[campaign.pk]) + "?view=pairs"
    assert client.get(address, headers=header).status_code == 403
    export = client.get(address, headers=token_of("eva"))
    assert export.status_code == 200
    file = tmp_path / "pairs.jsonl"
    file.write_bytes(b"".join(export.streaming_content))

    rows = datasets.load_dataset("json", data_files=str(file), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(rows) == 6
    for row in rows:
        assert row["prompt"][-1]["role"] == "user"
        assert row["chosen"][0]["content"].startswith("Yes, because")
        assert row["rejected"][0] == {"role": "assistant", "content": "Yes."}
        assert row["strength"] == pytest.approx(1.0)
        assert row["annotator"] == ann.pseudonym
        assert ann.username not in json.dumps(row)
