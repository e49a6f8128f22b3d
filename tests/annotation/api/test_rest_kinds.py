"""Every kind of feedback over REST: set up, import, judge by the schema that comes with the item, export."""

from __future__ import annotations

import json

import pytest
from rest_framework.test import APIClient

from annotation.dataset_views import VIEWS
from annotation.feedback import KINDS
from annotation.models import Campaign, User
from tests.annotation.feedback.examples import EXAMPLES


@pytest.fixture(params=sorted(KINDS))
def kind(request):
    return KINDS[request.param]


def test_a_kind_goes_all_the_way(
    kind, clients: dict[str, APIClient], people: dict[str, User], campaign: Campaign
) -> None:
    lead = clients["lead"]
    made = lead.post("/api/campaigns/", {"name": f"All of {kind.name}", "kind": kind.name}, format="json")
    assert made.status_code == 201, made.content
    path = f"/api/campaigns/{made.json()['id']}/"
    answers = [{"text": "Well."}, {"text": "Not so well."}][: kind.completions[1]]
    line = {"id": "one", "prompt": "How are you?", "completions": answers}
    imported = lead.post(f"{path}import/", json.dumps(line) + "\n", content_type="application/x-ndjson")
    assert imported.json()["created"] == 1, imported.content
    assert lead.post(f"{path}open/", {}, format="json").status_code == 200

    item = lead.post(f"{path}next/", {}, format="json").json()
    assert len(item["completions"]) == len(answers)
    refused = lead.post(f"/api/assignments/{item['key']}/submit/", {}, format="json")
    assert refused.status_code == 422 and refused.json()["errors"]
    sent = lead.post(f"/api/assignments/{item['key']}/submit/", EXAMPLES[kind.name], format="json")
    assert sent.status_code == 200, sent.content

    for view in kind.views:
        export = lead.get(f"{path}export/?view={view}")
        rows = [json.loads(row) for row in b"".join(export.streaming_content).splitlines()]
        assert rows
        assert all(set(row) == set(VIEWS[view].columns) for row in rows)
    agreement = lead.get(f"{path}agreement/").json()
    assert list(agreement) == [one.name for one in kind.dimensions(kind.default_options())]
    assert all(figures["alpha"] is None and figures["reason_undefined"] for figures in agreement.values())
