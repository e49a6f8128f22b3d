"""Gold over REST: for leads and engineers, and without any sign of it for who judges."""

from __future__ import annotations

import json
import re

import pytest
from django.test import Client
from rest_framework.test import APIClient

from annotation.models import Event, Gold, Task, User
from annotation.services import gold as golds
from tests.factories import judge, make_assignment, make_campaign, make_task

RIGHT = {"answer": {"preference": "2"}, "tolerance": {"preference": 1}}

pytestmark = pytest.mark.django_db


def test_leads_and_engineers_read_set_and_remove_gold(clients: dict[str, APIClient], people: dict[str, User]):
    campaign = make_campaign(
        lead=people["lead"], annotators=[people["annotator"]], engineers=[people["engineer"]], tasks=1
    )
    task = campaign.tasks.get()
    path = f"/api/campaigns/{campaign.pk}/tasks/{task.pk}/gold/"
    lead = clients["lead"]
    assert lead.get(path).status_code == 204
    made = lead.put(path, RIGHT, format="json")
    assert made.status_code == 200, made.content
    assert made.json()["answer"]["preference"] == "2"
    assert clients["engineer"].get(path).json() == made.json()
    refused = lead.put(path, {"answer": {"preference": "x"}}, format="json")
    assert refused.status_code == 422 and refused.json()["errors"]["answer"]
    assert lead.put(path, {}, format="json").status_code == 400
    for name, status in (("annotator", 403), ("stranger", 404)):
        assert clients[name].get(path).status_code == status
        assert clients[name].put(path, RIGHT, format="json").status_code == status
        assert clients[name].delete(path).status_code == status
    assert lead.get(f"/api/campaigns/{campaign.pk}/tasks/{10**20}/gold/").status_code == 404
    assert lead.delete(path).status_code == 204 and lead.delete(path).status_code == 204
    assert not Gold.objects.exists()
    assert list(Event.objects.filter(action__startswith="gold").values_list("action", flat=True)) == [
        "gold.set",
        "gold.removed",
    ]


def test_who_judges_gets_no_sign_of_gold(client: Client, clients: dict[str, APIClient], people: dict[str, User]):
    """Two items, one with gold: pages, REST and exports are the same but for what the items say."""
    campaign = make_campaign(lead=people["lead"], annotators=[people["annotator"]])
    with_gold, without = make_task(campaign, number=1), make_task(campaign, number=2)
    golds.set_gold(
        task=with_gold, value={**RIGHT, "answer": {**RIGHT["answer"], "comment": "MARKER"}}, actor=people["lead"]
    )
    client.force_login(people["annotator"])
    page = client.get(f"/work/{campaign.pk}/").content.decode()
    item = clients["annotator"].post(f"/api/campaigns/{campaign.pk}/next/", {}, format="json").json()
    held = make_assignment(people["annotator"], campaign)
    assert held.task_id == with_gold.pk
    judge(people["annotator"], campaign, assignment=held)
    history = client.get(f"/work/{campaign.pk}/history/").content.decode()
    exported = b"".join(
        clients["lead"].get(f"/api/campaigns/{campaign.pk}/export/?view=judgements").streaming_content
    ).decode()
    other = clients["annotator"].post(f"/api/campaigns/{campaign.pk}/next/", {}, format="json").json()
    assert other["key"] != item["key"] and set(other) == set(item)
    for text in (page, json.dumps(item), history, exported, json.dumps(other)):
        text = re.sub(r"\b[0-9A-Za-z]{32,}\b", "", text)  # a random token spells any word some day
        assert "MARKER" not in text and "gold" not in text.lower()
    for name in ("annotator", "stranger"):
        assert clients[name].get(f"/api/campaigns/{campaign.pk}/tasks/").status_code in (403, 404)
    assert Task.objects.get(pk=without.pk).content.keys() == with_gold.content.keys()
