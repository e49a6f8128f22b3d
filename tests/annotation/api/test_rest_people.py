"""Who may do what: seven callers meet every endpoint."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from annotation.api.urls import urlpatterns
from annotation.models import Campaign, User
from tests.annotation.api.conftest import CALLERS, pair_line
from tests.factories import PASSWORD, make_assignment

# URL name, method, body → the status for: anonymous, stranger, annotator, reviewer, engineer, lead, admin.
EVERYBODY = (200, 200, 200, 200, 200, 200, 200)
MEMBERS = (401, 404, 200, 200, 200, 200, 200)
READERS = (401, 404, 403, 403, 200, 200, 200)
REVIEWERS = (401, 404, 403, 200, 403, 200, 200)
LEADS = (401, 404, 403, 403, 403, 200, 200)
HOOK = {"url": "https://example.org/hook", "events": ["batch.completed"]}
MATRIX: list[tuple[str, str, Any, tuple[int, ...]]] = [
    ("api-schema", "get", None, EVERYBODY),
    ("api-docs", "get", None, EVERYBODY),
    ("api-token", "post", {"username": "lead", "password": PASSWORD}, (201,) * 7),
    ("api-tokens", "get", None, (401, 200, 200, 200, 200, 200, 200)),
    # Nobody has such a token; what is revoked is tested where there is one.
    ("api-token-revoke", "delete", None, (401, 404, 404, 404, 404, 404, 404)),
    ("api-logout", "post", {}, (401, 204, 204, 204, 204, 204, 204)),
    ("api-campaigns", "get", None, (401, 200, 200, 200, 200, 200, 200)),
    # The lead has made it when the admin comes with the same name.
    ("api-campaigns", "post", {"name": "Another one"}, (401, 404, 403, 403, 403, 201, 422)),
    ("api-campaign", "get", None, MEMBERS),
    ("api-campaign", "patch", {"description": "New words"}, LEADS),
    # It is open, and people may be at work on it; what deleting does is tested where it is closed.
    ("api-campaign", "delete", None, (401, 404, 403, 403, 403, 422, 422)),
    ("api-campaign-restore", "post", {}, (401, 404, 404, 404, 404, 404, 404)),
    ("api-campaign-settings", "get", None, READERS),
    ("api-campaign-templates", "get", None, (401, 200, 200, 200, 200, 200, 200)),
    ("api-agree", "post", {}, (401, 404, 204, 403, 403, 204, 204)),
    ("api-leave", "post", {}, (401, 404, 204, 403, 403, 422, 422)),
    ("api-hand-back", "post", {}, (401, 404, 204, 403, 403, 204, 204)),
    ("api-campaign-open", "post", {}, LEADS),
    ("api-campaign-pause", "post", {}, LEADS),
    ("api-campaign-close", "post", {}, LEADS),
    ("api-import", "post", pair_line(99), READERS),
    # There is no such import here; what it refused is tested where there is one.
    # Of which file is not said.
    ("api-upload", "get", None, (401, 404, 403, 403, 400, 400, 400)),
    ("api-upload", "put", {}, (401, 404, 403, 403, 400, 400, 400)),
    ("api-import-refused", "get", None, (401, 404, 403, 403, 404, 404, 404)),
    # There is no image here either.
    ("api-image", "get", None, (401, 404, 404, 404, 404, 404, 404)),
    ("api-image-thumbnail", "get", None, (401, 404, 404, 404, 404, 404, 404)),
    ("api-export", "get", None, READERS),
    ("api-export-schema", "get", None, READERS),
    ("api-export-offer", "get", None, READERS),
    ("api-webhooks", "get", None, LEADS),
    ("api-webhooks", "post", HOOK, (401, 404, 403, 403, 403, 201, 201)),
    # Nobody made this one; what is told is tested where somebody is.
    ("api-webhook", "delete", None, (401, 404, 403, 403, 403, 404, 404)),
    ("api-webhook-deliveries", "get", None, (401, 404, 403, 403, 403, 404, 404)),
    ("api-tasks", "get", None, READERS),
    ("api-gold", "get", None, (401, 404, 403, 403, 204, 204, 204)),
    ("api-gold", "put", {"answer": {"preference": "1"}}, READERS),
    ("api-gold", "delete", None, (401, 404, 403, 403, 204, 204, 204)),
    ("api-reviews", "get", None, REVIEWERS),
    ("api-review", "get", None, REVIEWERS),
    # What is decided, and how, is tested where there is something to decide: here the body lacks it.
    ("api-review-accept", "post", {}, (401, 404, 403, 400, 403, 400, 400)),
    ("api-review-override", "post", {}, (401, 404, 403, 400, 403, 400, 400)),
    ("api-review-return", "post", {}, (401, 404, 403, 400, 403, 400, 400)),
    ("api-trial", "get", None, (401, 404, 200, 403, 403, 200, 200)),
    ("api-trial-answer", "post", {}, (401, 404, 400, 403, 403, 400, 400)),
    ("api-trials", "get", None, READERS),
    ("api-checks", "get", None, READERS),
    ("api-checks-seen", "post", {}, (401, 404, 204, 403, 403, 204, 204)),
    # Nobody of that name is paused, or has a test to pass.
    ("api-lift", "post", {}, (401, 404, 403, 403, 403, 422, 422)),
    ("api-admit", "post", {}, (401, 404, 403, 403, 403, 422, 422)),
    ("api-gold-list", "get", None, READERS),
    ("api-gold-leaks", "get", None, READERS),
    # The item has no gold, and no judgement is named.
    ("api-gold-retire", "post", {}, (401, 404, 403, 403, 404, 404, 404)),
    ("api-gold-from-judgement", "post", {}, (401, 404, 403, 403, 400, 400, 400)),
    ("api-feedback", "get", None, READERS),
    ("api-progress", "get", None, READERS),
    ("api-my-progress", "get", None, MEMBERS),
    ("api-agreement", "get", None, READERS),
    ("api-quality", "get", None, (401, 404, 403, 204, 204, 204, 204)),
    ("api-invitations", "get", None, LEADS),
    ("api-invitations", "post", {}, (401, 404, 403, 403, 403, 201, 201)),
    ("api-invitation", "delete", None, (401, 404, 403, 403, 403, 404, 404)),
    ("api-metrics", "get", None, READERS),
    ("api-hours", "get", None, LEADS),
    ("api-events", "get", None, LEADS),
    ("api-server-events", "get", None, (401, 404, 404, 404, 404, 404, 200)),
    ("api-batches", "get", None, READERS),
    # There is no such batch here; what changes is tested where there is one.
    ("api-batches", "post", {"batch": "x", "priority": 1}, (401, 404, 403, 403, 403, 422, 422)),
    ("api-overlap", "post", {"wanted": 2}, LEADS),
    ("api-wellbeing", "get", None, (401, 404, 200, 403, 403, 200, 200)),
    # An admin may judge everywhere, but what one declines is kept with a role.
    ("api-wellbeing", "post", {"declined": []}, (401, 404, 200, 403, 403, 200, 422)),
    ("api-exposure", "get", None, READERS),
    ("api-skills", "get", None, LEADS),
    ("api-skills", "post", {"username": "annotator", "skills": ["lang:de"]}, LEADS),
    ("api-held-back", "get", None, LEADS),
    ("api-held-back", "post", {"username": "annotator", "held_back": False}, LEADS),
    ("api-out-of-reach", "get", None, READERS),
    ("api-next", "post", {}, (401, 404, 200, 403, 403, 200, 200)),
    # The assignment is the annotator's: to everybody else, the lead included, it does not exist.
    ("api-submit", "post", {"preference": "1"}, (401, 404, 200, 404, 404, 404, 404)),
    ("api-skip", "post", {"reason": "unclear"}, (401, 404, 204, 404, 404, 404, 404)),
    ("api-draft", "post", {"comment": "so far"}, (401, 404, 204, 404, 404, 404, 404)),
    ("api-proposals", "get", None, (401, 404, 204, 404, 404, 404, 404)),
    # Nothing is proposed in a campaign of this kind; what is tested where there is one.
    ("api-proposals", "post", {"critique": "Clear."}, (401, 404, 422, 404, 404, 404, 404)),
    ("api-set-aside", "post", {}, (401, 404, 204, 404, 404, 404, 404)),
    ("api-take-up", "post", {}, (401, 404, 200, 404, 404, 404, 404)),
    ("api-let-go", "post", {}, (401, 404, 204, 404, 404, 404, 404)),
    ("api-pile", "get", None, (401, 404, 200, 403, 403, 200, 200)),
]


@pytest.mark.parametrize(("name", "method", "body", "expected"), MATRIX, ids=[f"{row[1]} {row[0]}" for row in MATRIX])
def test_everybody_gets_what_is_theirs(
    name: str,
    method: str,
    body: Any,
    expected: tuple[int, ...],
    clients: dict[str, APIClient],
    campaign: Campaign,
    people: dict[str, User],
) -> None:
    held = make_assignment(people["annotator"], campaign)
    pattern = next(pattern for pattern in urlpatterns if pattern.name == name)
    path = f"/api/{pattern.pattern}".replace("<int:campaign_id>", str(campaign.pk)).replace("<slug:key>", held.key)
    path = path.replace("<int:event_id>", "999999").replace("<slug:sha256>", "0" * 64)
    path = (
        path.replace("<int:invitation_id>", "999999")
        .replace("<int:webhook_id>", "999999")
        .replace("<int:grant_id>", "999999")
        .replace("<slug:pseudonym>", "p-000000000000")
        .replace("<int:feedback_id>", "999999")
        .replace("<int:task_id>", str(held.task_id))
    )
    more: dict[str, Any] = {"data": body, "content_type": "application/x-ndjson"}
    if not isinstance(body, bytes):
        more = {} if body is None else {"data": body, "format": "json"}
    for caller, status in zip(CALLERS, expected, strict=True):
        response = getattr(clients[caller], method)(path, **more)
        assert response.status_code == status, (caller, response.content[:500])
        if status >= 400:
            assert set(response.json()) == {"detail", "errors"}
            assert response.json()["detail"].strip()


def test_the_matrix_is_complete() -> None:
    assert {pattern.name for pattern in urlpatterns} == {name for name, *_ in MATRIX}


def test_a_stranger_cannot_tell_a_campaign_from_nothing(clients: dict[str, APIClient], campaign: Campaign) -> None:
    there = clients["stranger"].get(f"/api/campaigns/{campaign.pk}/")
    nothing = clients["stranger"].get(f"/api/campaigns/{campaign.pk + 1000}/")
    assert (there.status_code, there.json()) == (nothing.status_code, nothing.json())
    assert clients["stranger"].get("/api/campaigns/").json()["results"] == []
