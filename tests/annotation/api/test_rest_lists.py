"""Lists: paged by id, at a constant number of statements, and strict about what they are asked."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from annotation.models import Campaign, User
from annotation.services import campaigns
from tests.annotation.api.conftest import add_pairs
from tests.factories import judge, make_campaign


def statements(client: APIClient, path: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path).status_code == 200
    return len(captured.captured_queries)


@pytest.mark.parametrize("name", ["tasks", "feedback", "progress", "agreement"])
def test_more_rows_cost_no_more_statements(
    name: str, clients: dict[str, APIClient], campaign: Campaign, people: dict[str, User]
) -> None:
    judge(people["annotator"], campaign)
    path = f"/api/campaigns/{campaign.pk}/{name}/"
    few = statements(clients["lead"], path)
    add_pairs(campaign, range(200, 220))
    for _ in range(15):
        judge(people["annotator"], campaign)
        judge(people["lead"], campaign)
    assert statements(clients["lead"], path) <= few + (1 if name == "agreement" else 0)


def test_more_campaigns_cost_no_more_statements(clients: dict[str, APIClient], campaign: Campaign, people: Any) -> None:
    few = statements(clients["lead"], "/api/campaigns/")
    for _ in range(5):
        make_campaign(lead=people["lead"])
    assert statements(clients["lead"], "/api/campaigns/") == few


def test_pages_follow_each_other_and_end(clients: dict[str, APIClient], campaign: Campaign) -> None:
    add_pairs(campaign, range(300, 309))
    path, seen, pages = f"/api/campaigns/{campaign.pk}/tasks/?page_size=5&state=open", [], 0
    while path:
        page = clients["engineer"].get(path).json()
        seen += [task["id"] for task in page["results"]]
        path, pages = page["next"], pages + 1
    assert pages == 3 and len(seen) == 12 and seen == sorted(set(seen), reverse=True)


@pytest.mark.parametrize(
    "query",
    ["page_size=0", "page_size=501", "page_size=x", "page_size=1_0", "page_size=%C2%B2", "before=-1", "before=",
     "before=99999999999999999999999", "before=1.5", "state=lost", "audit=maybe", "batch=" + "x" * 61],
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_told(query: str, clients: dict[str, APIClient], campaign: Campaign) -> None:
    response = clients["engineer"].get(f"/api/campaigns/{campaign.pk}/tasks/?{query}")
    assert response.status_code == 400
    assert list(response.json()["errors"]) == [query.split("=")[0]]


def test_a_nul_that_is_asked_for_is_told(clients: dict[str, APIClient], campaign: Campaign) -> None:
    response = clients["engineer"].get(f"/api/campaigns/{campaign.pk}/tasks/?batch=a%00")
    assert response.status_code == 422 and list(response.json()["errors"]) == ["batch"]


def test_tasks_tell_leads_where_answers_come_from(clients: dict[str, APIClient], campaign: Campaign) -> None:
    add_pairs(campaign, [400], batch="round-1", priority=5)
    (task,) = clients["engineer"].get(f"/api/campaigns/{campaign.pk}/tasks/?batch=round-1").json()["results"]
    assert [answer["origin"] for answer in task["completions"]] == ["policy-0", "policy-1"]
    assert (task["external_id"], task["wanted"], task["done"], task["priority"]) == ("p400", 2, 0, 5)


def test_feedback_is_told_under_pseudonyms_and_amended_ones_are_left_out(
    clients: dict[str, APIClient], campaign: Campaign, people: dict[str, User]
) -> None:
    first = judge(people["annotator"], campaign, preference=2)
    judge(people["annotator"], campaign, preference=-3, assignment=first.assignment)
    path = f"/api/campaigns/{campaign.pk}/feedback/"
    (row,) = clients["lead"].get(path).json()["results"]
    assert (row["annotator"], row["version"]) == (people["annotator"].pseudonym, 2)
    assert row["description"] == "Answer 2 is much better"
    assert "annotator" not in str(row["annotator"])
    assert len(clients["lead"].get(f"{path}?current=false").json()["results"]) == 2


def test_a_campaign_is_made_changed_and_told(clients: dict[str, APIClient], campaign: Campaign) -> None:
    made = clients["lead"].post("/api/campaigns/", {"name": "New", "guideline": "One"}, format="json")
    assert made.status_code == 201 and made.json()["state"] == "draft" and made.json()["roles"] == ["lead"]
    path = f"/api/campaigns/{made.json()['id']}/"
    changed = clients["lead"].patch(path, {"overlap": 3, "guideline": "Two", "options": {"ties": False}}, format="json")
    assert (changed.json()["overlap"], changed.json()["guideline"], changed.json()["guideline_version"]) == (
        3,
        "Two",
        2,
    )
    assert "4" not in changed.json()["submit_schema"]["properties"]["preference"]["enum"]
    wrongs: list[Any] = [{"overlap": 0}, {"overlap": "many"}, {"options": {"tiess": True}}, {"options": []}, [], "text"]
    for wrong in [*wrongs, {"state": "open"}, {"name": ""}, {"lease_seconds": 10**30}]:
        response = clients["lead"].patch(path, wrong, format="json")
        assert response.status_code in (400, 422), wrong
        assert set(response.json()) == {"detail", "errors"}
    twice = clients["lead"].post("/api/campaigns/", {"name": "New"}, format="json")
    assert twice.status_code == 422 and "name" in twice.json()["errors"]


def test_states_follow_the_services(clients: dict[str, APIClient], people: dict[str, User]) -> None:
    campaign = campaigns.create(name="Moves", actor=people["lead"])
    path = f"/api/campaigns/{campaign.pk}"
    assert clients["lead"].post(f"{path}/pause/").status_code == 422
    for verb, state in (("open", "open"), ("pause", "paused"), ("open", "open"), ("close", "closed")):
        assert clients["lead"].post(f"{path}/{verb}/").json()["state"] == state
    assert clients["lead"].post(f"{path}/open/").status_code == 409


def test_own_progress_tells_about_nobody_else(
    clients: dict[str, APIClient], campaign: Campaign, people: dict[str, User]
) -> None:
    judge(people["annotator"], campaign)
    judge(people["lead"], campaign)
    mine = clients["annotator"].get(f"/api/campaigns/{campaign.pk}/progress/mine/").json()
    assert mine["done"] == 1
    assert "lead" not in str(mine)
