"""Every kind of feedback over REST: set up, import, judge by the schema that comes with the item, export."""

from __future__ import annotations

import json

import pytest
from rest_framework.test import APIClient

from annotation.dataset_views import VIEWS
from annotation.feedback import KINDS
from annotation.models import Campaign, User
from tests.annotation.feedback.examples import EXAMPLES, FOR_EVERY_VIEW


@pytest.fixture(params=sorted(KINDS))
def kind(request):
    return KINDS[request.param]


def test_a_kind_goes_all_the_way(
    kind, clients: dict[str, APIClient], people: dict[str, User], campaign: Campaign
) -> None:
    lead = clients["lead"]
    options, said = FOR_EVERY_VIEW.get(kind.name, ({}, {}))
    settings = {"name": f"All of {kind.name}", "kind": kind.name, "options": options}
    made = lead.post("/api/campaigns/", settings, format="json")
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
    sent = lead.post(f"/api/assignments/{item['key']}/submit/", {**EXAMPLES[kind.name], **said}, format="json")
    assert sent.status_code == 200, sent.content

    for view in kind.views:
        export = lead.get(f"{path}export/?view={view}")
        rows = [json.loads(row) for row in b"".join(export.streaming_content).splitlines()]
        assert rows
        assert all(set(row) == set(VIEWS[view].columns) for row in rows)
    agreement = lead.get(f"{path}agreement/").json()
    assert list(agreement) == [one.name for one in kind.dimensions({**kind.default_options(), **options})]
    assert all(figures["alpha"] is None and figures["reason_undefined"] for figures in agreement.values())


def test_a_dialogue_is_judged_turn_by_turn(clients: dict[str, APIClient], campaign: Campaign) -> None:
    lead = clients["lead"]
    settings = {"name": "Turn by turn", "kind": "safety", "options": {"scope": "each_turn"}}
    made = lead.post("/api/campaigns/", settings, format="json")
    assert made.status_code == 201, made.content
    path = f"/api/campaigns/{made.json()['id']}/"
    said = [
        {"role": role, "content": text}
        for role, text in (("user", "Hi."), ("assistant", "Yes?"), ("user", "How?"), ("assistant", "So."))
    ]
    lines = f"{json.dumps({'id': 'one', 'messages': said})}\n{json.dumps({'id': 'two', 'messages': said[:1]})}\n"
    imported = lead.post(f"{path}import/", lines, content_type="application/x-ndjson").json()
    assert imported["created"] == 1
    assert "no turn of the assistant" in imported["errors"][0]["reason"]
    lead.post(f"{path}open/", {}, format="json")

    schema = lead.get(path).json()["submit_schema"]
    assert schema["required"] == ["turn_1_safe_1"] and "turn_2_" in schema["description"]
    item = lead.post(f"{path}next/", {}, format="json").json()
    assert (item["prompt"], item["completions"]) == (said[:1], ["Yes?", "So."])
    assert (item["turn"], item["between"], item["dialogues"]) == (1, [[said[2]], []], None)
    address = f"/api/assignments/{item['key']}/submit/"
    refused = lead.post(address, {"turn_1_safe_1": "safe"}, format="json")
    assert refused.status_code == 422
    assert refused.json()["errors"] == {"turn_2_safe_1": ["Turn 2: Say whether it is safe."]}
    sent = lead.post(address, {"turn_1_safe_1": "safe", "turn_2_safe_1": "safe"}, format="json")
    assert sent.status_code == 200, sent.content
    rows = [json.loads(row) for row in b"".join(lead.get(f"{path}export/?view=safety").streaming_content).splitlines()]
    assert [(row["turn"], row["prompt"], row["completion"]) for row in rows] == [
        (1, said[:1], said[1:2]),
        (2, said[:3], said[3:]),
    ]
    assert all(set(row) == set(VIEWS["safety"].columns) for row in rows)
