"""What a token is limited to it cannot get past, and what it may do is never more than its owner may."""

from __future__ import annotations

import importlib
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.apps import apps
from django.core.cache import cache, caches
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from knox.models import AuthToken
from rest_framework.test import APIClient

from annotation import counting
from annotation.access import SCOPE_OF, SCOPES, Action
from annotation.models import Campaign, Event, TokenGrant, User
from annotation.services import tokens
from tests.annotation.api.conftest import pair_line
from tests.factories import PASSWORD

# Scope → a request that needs it and no other: method, address below the campaign, body.
NEEDS: dict[str, tuple[str, str, Any]] = {
    "read": ("get", "progress/", None),
    "judge": ("post", "next/", {}),
    "import": ("post", "import/", pair_line(77)),
    "export": ("get", "export/?view=pairs", None),
    "train": ("post", "/api/training/campaigns/{id}/versions/", {"kind": "policy", "path": "org/model"}),
    "manage": ("patch", "", {"description": "Another one"}),
}


def with_token(user: User, *scopes: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {tokens.make(user=user, scopes=scopes).secret}")
    return client


def send(client: APIClient, campaign: Campaign, scope: str) -> Any:
    method, where, body = NEEDS[scope]
    path = where.format(id=campaign.pk) if where.startswith("/") else f"/api/campaigns/{campaign.pk}/{where}"
    more: dict[str, Any] = {} if body is None else {"data": body, "format": "json"}
    if isinstance(body, bytes):
        more = {"data": body, "content_type": "application/x-ndjson"}
    return getattr(client, method)(path, **more)


def test_each_action_has_a_scope() -> None:
    assert set(SCOPE_OF) == set(Action) - {Action.SEE}
    assert set(SCOPE_OF.values()) == set(SCOPES) == set(NEEDS)


@pytest.mark.parametrize("scope", sorted(SCOPES))
def test_a_scope_opens_its_own_and_nothing_else(scope: str, campaign: Campaign, people: dict[str, User]) -> None:
    for person in ("lead", "admin"):
        client = with_token(people[person], scope)
        for other in SCOPES:
            response = send(client, campaign, other)
            if other == scope:
                assert response.status_code < 300, (person, other, response.content)
            else:
                assert response.status_code == 403, (person, other)
                assert f"lacks the scope {other}" in response.json()["detail"]
        assert client.get(f"/api/campaigns/{campaign.pk}/").status_code == 200
        made = client.post("/api/campaigns/", {"name": f"By {person} with {scope}"}, format="json")
        assert made.status_code == (201 if scope == "manage" else 403), made.content


def test_a_scope_gives_no_role(campaign: Campaign, people: dict[str, User]) -> None:
    for scope in SCOPES:
        assert send(with_token(people["stranger"], *SCOPES), campaign, scope).status_code == 404
        expected = 200 if scope == "judge" else 403
        assert send(with_token(people["annotator"], *SCOPES), campaign, scope).status_code == expected


def test_a_token_is_made_with_scopes_and_an_end_listed_and_revoked(people: dict[str, User]) -> None:
    body = {"username": "lead", "password": PASSWORD, "name": "nightly", "scopes": ["export"], "days": 7}
    made = APIClient().post("/api/auth/token/", body, format="json").json()
    assert made["scopes"] == ["export"]
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {made['token']}")
    (row,) = client.get("/api/auth/tokens/").json()
    assert (row["name"], row["scopes"], made["token"].startswith(row["begins_with"])) == ("nightly", ["export"], True)
    assert row["last_used_at"] is not None
    with time_machine.travel(timezone.now() + timedelta(days=8)):
        assert client.get("/api/auth/tokens/").status_code == 401
    assert client.delete(f"/api/auth/tokens/{row['id']}/").status_code == 204
    assert client.get("/api/auth/tokens/").status_code == 401
    assert [event.action for event in Event.objects.filter(action__startswith="token.")] == [
        "token.made",
        "token.revoked",
    ]
    for wrong in ({"scopes": ["everything"]}, {"scopes": []}, {"days": 0}, {"days": 10**6}):
        assert APIClient().post("/api/auth/token/", {**body, **wrong}, format="json").status_code in (400, 422), wrong


def test_the_last_use_costs_one_statement_an_hour(people: dict[str, User]) -> None:
    client = with_token(people["lead"], "read")
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for hours, writes in ((0, 1), (0, 0), (2, 1), (0, 0)):
            clock.shift(timedelta(hours=hours))
            with CaptureQueriesContext(connection) as captured:
                assert client.get("/api/campaigns/").status_code == 200
            assert sum(query["sql"].startswith("UPDATE") for query in captured.captured_queries) == writes


@override_settings(ATTUNE_RATES={"read": 3, "write": 2})
def test_too_many_requests_a_minute_are_turned_away_and_told_when_to_come_back(
    campaign: Campaign, people: dict[str, User]
) -> None:
    with time_machine.travel(1_700_000_000, tick=False) as clock:
        lead, other = with_token(people["lead"], *SCOPES), with_token(people["engineer"], *SCOPES)
        codes = [lead.get("/api/campaigns/").status_code for _ in range(5)]
        assert codes == [200, 200, 200, 429, 429]
        answer = lead.get("/api/campaigns/")
        assert 0 < int(answer["Retry-After"]) <= 60 and set(answer.json()) == {"detail", "errors"}
        assert lead.patch(f"/api/campaigns/{campaign.pk}/", {}, format="json").status_code == 200, "another kind"
        assert other.get("/api/campaigns/").status_code == 200, "another person"
        clock.shift(60)
        assert lead.get("/api/campaigns/").status_code == 200


def test_counting_costs_no_sql_and_goes_on_without_the_broker(settings: Any) -> None:
    away = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "unix:///nowhere/broker.sock"}
    settings.CACHES = {**settings.CACHES, "shared": away}
    counting._Reachable.away_until = 0.0
    cache.clear()
    assert [counting.more("x", window=60, now=100.0) for _ in range(3)] == [1, 2, 3]
    assert counting.so_far("x", window=60, now=119.0) == 3
    assert counting.so_far("x", window=60, now=120.0) == 0
    counting.forget("x", window=60, now=100.0)
    assert counting.so_far("x", window=60, now=100.0) == 0
    assert type(caches["shared"]).__name__ == "RedisCache"


def test_a_token_of_before_keeps_all_scopes(people: dict[str, User]) -> None:
    old, secret = AuthToken.objects.create(user=people["lead"])
    module = importlib.import_module("annotation.migrations.0012_give_old_tokens_all_scopes")
    module.forwards(apps, None)
    module.forwards(apps, None)  # and a token that has some keeps those
    assert TokenGrant.objects.get(token=old).scopes == list(SCOPES)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {secret}")
    assert client.get("/api/campaigns/").status_code == 200
