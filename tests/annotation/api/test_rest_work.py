"""An annotator works over REST: next, submit, again, amend, skip, draft; and sees nothing they should not."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from annotation.models import Assignment, Campaign, Feedback, User
from annotation.services import campaigns

pytestmark = pytest.mark.django_db


@pytest.fixture
def annotator(clients: dict[str, APIClient]) -> APIClient:
    return clients["annotator"]


def take(client: APIClient, campaign: Campaign, **body: Any) -> dict[str, Any]:
    response = client.post(f"/api/campaigns/{campaign.pk}/next/", body, format="json")
    assert response.status_code == 200, response.content
    return response.json()


def submit(client: APIClient, key: str, **body: Any) -> Any:
    return client.post(f"/api/assignments/{key}/submit/", body, format="json")


def test_the_item_is_shown_in_the_order_stored_and_tells_nothing_else(annotator: APIClient, campaign: Campaign) -> None:
    item = take(annotator, campaign)
    assignment = Assignment.objects.get(key=item["key"])
    texts = [completion["text"] for completion in assignment.task.content["completions"]]
    assert item["completions"] == [texts[position] for position in assignment.shown_order]
    assert set(item) == {
        *("key", "campaign", "kind", "prompt", "completions", "options", "draft", "expires_at"),
        *("turn", "between", "dialogues"),
    }
    assert item["prompt"] == [{"role": "user", "content": assignment.task.content["messages"][0]["content"]}]
    # Neither who wrote an answer, nor where the item comes from, nor an id whose order gives away the stored order.
    sent = annotator.post(f"/api/campaigns/{campaign.pk}/next/", {}, format="json").content.decode()
    for hidden in ("policy-0", "policy-1", "origin", "external", "meta", "shown_order", "batch", "audit"):
        assert hidden not in sent


def test_the_left_answer_is_the_one_shown_first(annotator: APIClient, campaign: Campaign) -> None:
    """Whatever the order shown, 1 prefers `completions[0]` of the answer to `next`."""
    for _ in range(3):
        item = take(annotator, campaign)
        assert submit(annotator, item["key"], preference=1).status_code == 200
        feedback = Feedback.objects.get(assignment__key=item["key"])
        preferred = 0 if feedback.payload["preference"] > 0 else 1
        assert feedback.task.content["completions"][preferred]["text"] == item["completions"][0]
    assert annotator.post(f"/api/campaigns/{campaign.pk}/next/", {}, format="json").status_code == 204


def test_asking_twice_gives_the_same_item_and_ahead_gives_the_next(annotator: APIClient, campaign: Campaign) -> None:
    first, again, ahead = (
        take(annotator, campaign),
        take(annotator, campaign),
        take(annotator, campaign, ahead=True),
    )
    assert first["key"] == again["key"] != ahead["key"]


def test_a_submit_is_safe_to_repeat_and_another_key_amends(annotator: APIClient, campaign: Campaign) -> None:
    key = take(annotator, campaign)["key"]
    first = submit(annotator, key, preference="2", client_key="a")
    again = submit(annotator, key, preference="2", client_key="a")
    assert first.json() == again.json() and first.json()["version"] == 1
    amended = submit(annotator, key, preference="both_bad", client_key="b", active_seconds=3.5)
    assert amended.json()["version"] == 2
    assert Feedback.objects.current().get().payload["verdict"] == "both_bad"
    assert Feedback.objects.count() == 2


@pytest.mark.parametrize("sent", [None, [], "x", {"changes": "many"}, {"read": [2, {}]}, {"typed": -1, "x": {}}])
def test_what_the_page_measured_never_refuses_a_judgement(annotator: APIClient, campaign: Campaign, sent: Any) -> None:
    assert submit(annotator, take(annotator, campaign)["key"], preference="2", behaviour=sent).status_code == 200
    assert Feedback.objects.get().behaviour is None


def test_what_the_page_measured_is_stored(annotator: APIClient, campaign: Campaign) -> None:
    sent = {"first_action_seconds": 1.5, "changes": 0, "typed": 3, "pasted": 0}
    submit(annotator, take(annotator, campaign)["key"], preference="2", behaviour=sent)
    assert Feedback.objects.get().behaviour == sent


def test_without_a_client_key_the_assignment_names_the_submit(annotator: APIClient, campaign: Campaign) -> None:
    key = take(annotator, campaign)["key"]
    assert submit(annotator, key, preference="2").json() == submit(annotator, key, preference="2").json()
    assert Feedback.objects.count() == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"preference": "8"},
        {"preference": ["1"]},
        {"preference": None},
        {"preference": "1", "comment": 7},
        {"preference": "1", "client_key": ""},
        {"preference": "1", "client_key": "x" * 65},
        {"preference": "1", "client_key": {"a": 1}},
        {"preference": "1", "active_seconds": -1},
        {"preference": "1", "active_seconds": "soon"},
    ],
)
def test_a_judgement_that_does_not_fit_is_refused_with_its_field(
    annotator: APIClient, campaign: Campaign, body: dict[str, Any]
) -> None:
    key = take(annotator, campaign)["key"]
    response = submit(annotator, key, **body)
    assert response.status_code in (400, 422)
    assert response.json()["errors"]
    assert not Feedback.objects.exists()
    assert submit(annotator, key, preference="1").status_code == 200


def test_a_skipped_item_does_not_come_back(annotator: APIClient, campaign: Campaign) -> None:
    key = take(annotator, campaign)["key"]
    refused = annotator.post(f"/api/assignments/{key}/skip/", {"reason": "dull"}, format="json")
    assert refused.status_code == 400 and "reason" in refused.json()["errors"]
    body = {"reason": "unclear", "note": "Which one?"}
    assert annotator.post(f"/api/assignments/{key}/skip/", body, format="json").status_code == 204
    assert take(annotator, campaign)["key"] != key


def test_a_draft_comes_back_with_the_item(annotator: APIClient, campaign: Campaign) -> None:
    key = take(annotator, campaign)["key"]
    draft = {"preference": "3", "comment": "not yet"}
    assert annotator.post(f"/api/assignments/{key}/draft/", draft, format="json").status_code == 204
    assert take(annotator, campaign)["draft"] == draft
    large = {"comment": "x" * 300_000}
    assert annotator.post(f"/api/assignments/{key}/draft/", large, format="json").status_code == 422


def test_an_item_is_set_aside_and_taken_up_again(annotator: APIClient, campaign: Campaign) -> None:
    key = take(annotator, campaign)["key"]
    draft = {"comment": "later"}
    assert annotator.post(f"/api/assignments/{key}/set-aside/", {"draft": draft}, format="json").status_code == 204
    assert take(annotator, campaign)["key"] != key
    pile = annotator.get(f"/api/campaigns/{campaign.pk}/set-aside/").json()
    assert [(one["key"], one["draft"], one["wanted"]) for one in pile] == [(key, draft, True)]
    again = annotator.post(f"/api/assignments/{key}/take-up/", {}, format="json")
    assert (again.status_code, again.json()["draft"]) == (200, draft)
    assert annotator.get(f"/api/campaigns/{campaign.pk}/set-aside/").json() == []
    annotator.post(f"/api/assignments/{key}/set-aside/", {}, format="json")
    assert annotator.post(f"/api/assignments/{key}/let-go/", {}, format="json").status_code == 204
    assert annotator.post(f"/api/assignments/{key}/take-up/", {}, format="json").status_code == 409
    assert annotator.post(f"/api/assignments/{key}/set-aside/", {"draft": []}, format="json").status_code == 400


def test_nothing_is_handed_out_while_paused_and_a_closed_campaign_takes_nothing(
    annotator: APIClient, campaign: Campaign, people: dict[str, User]
) -> None:
    key = take(annotator, campaign)["key"]
    campaigns.pause_campaign(campaign=campaign, actor=people["lead"])
    assert submit(annotator, key, preference="1").status_code == 200
    assert annotator.post(f"/api/campaigns/{campaign.pk}/next/", {}, format="json").status_code == 204
    campaigns.close_campaign(campaign=campaign, actor=people["lead"])
    assert submit(annotator, key, preference="2", client_key="later").status_code == 409


def test_next_and_submit_cost_few_statements(annotator: APIClient, campaign: Campaign) -> None:
    """Token, campaign and at most four for the item; token, assignment and at most eight for the judgement."""
    with CaptureQueriesContext(
        connection,
    ) as asked:
        key = take(annotator, campaign)["key"]
    assert len(_statements(asked)) <= 2 + 4, _statements(asked)
    with CaptureQueriesContext(connection) as stored:
        assert submit(annotator, key, preference="1").status_code == 200
    assert len(_statements(stored)) <= 2 + 8, _statements(stored)


def _statements(captured: CaptureQueriesContext) -> list[str]:
    borders = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE SAVEPOINT")
    return [query["sql"] for query in captured.captured_queries if not query["sql"].startswith(borders)]
