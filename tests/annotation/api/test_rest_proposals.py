"""Principles proposed over REST, to whom the item belongs and to nobody else."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from annotation.models import User
from tests.factories import make_assignment, make_campaign, make_task

pytestmark = pytest.mark.django_db


def test_principles_are_asked_for_and_looked_up(clients: dict[str, APIClient], people: dict[str, User]) -> None:
    campaign = make_campaign(annotators=[people["annotator"]], kind="principled_critique")
    make_task(campaign, completions=["An answer."])
    held = make_assignment(people["annotator"], campaign)
    path = f"/api/assignments/{held.key}/proposals/"
    annotator = clients["annotator"]
    assert annotator.get(path).status_code == 204
    asked = annotator.post(path, {"critique": "It is clear."}, format="json")
    assert asked.status_code == 200, asked.content
    (one,) = asked.json()["proposals"]
    assert (one["key"], one["answer"], one["by"]) == ("clear", "yes", "rules-1")
    assert one["evidence"] == {"text": "It is clear", "start": 0, "end": 11}
    assert annotator.get(path).json() == asked.json()
    refused = annotator.post(path, {"critique": ""}, format="json")
    assert refused.status_code == 422 and refused.json()["errors"]["critique"]
    for name in ("stranger", "lead"):
        assert clients[name].get(path).status_code == 404
        assert clients[name].post(path, {"critique": "It is clear."}, format="json").status_code == 404
