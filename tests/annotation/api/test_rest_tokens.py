"""Tokens: made by name and password, good until given up, told apart from noise without a server error."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from knox.models import AuthToken
from rest_framework.test import APIClient

from tests.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db


def ask(header: str) -> int:
    return APIClient().get("/api/campaigns/", HTTP_AUTHORIZATION=header).status_code


def test_a_token_is_made_used_and_given_up() -> None:
    make_user("ada", password=PASSWORD)
    made = APIClient().post("/api/auth/token/", {"username": "ada", "password": PASSWORD}, format="json")
    assert made.status_code == 201
    token = made.json()["token"]
    assert ask(f"Token {token}") == 200
    assert not AuthToken.objects.filter(digest=token).exists(), "only a hash is stored"
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    assert client.post("/api/auth/logout/").status_code == 204
    assert ask(f"Token {token}") == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"username": "ada", "password": "wrong"}, 422),
        ({"username": "nobody", "password": PASSWORD}, 422),
        ({"username": "ada"}, 400),
        ({"username": ["ada"], "password": {}}, 400),
        ({"username": "a" * 1000, "password": "b"}, 400),
        ({}, 400),
        ([], 400),
    ],
)
def test_wrong_credentials_are_told_alike(body: object, status: int) -> None:
    make_user("ada", password=PASSWORD)
    response = APIClient().post("/api/auth/token/", body, format="json")
    assert response.status_code == status
    assert set(response.json()) == {"detail", "errors"}


def test_an_account_that_is_switched_off_has_no_token() -> None:
    user = make_user("ada", password=PASSWORD)
    _, secret = AuthToken.objects.create(user=user)
    user.is_active = False
    user.save()
    body = {"username": "ada", "password": PASSWORD}
    assert APIClient().post("/api/auth/token/", body, format="json").status_code == 422
    assert ask(f"Token {secret}") == 401


def test_guessing_is_slowed_down() -> None:
    codes = {
        APIClient().post("/api/auth/token/", {"username": "x", "password": str(n)}, format="json").status_code
        for n in range(32)
    }
    assert codes == {422, 429}


@pytest.mark.parametrize(
    "header", ["Token", "Token a b", "Token \xff\xfe", "Token " + "x" * 9000, "token z", "Token \x00"]
)
def test_noise_in_the_header_is_401(header: str) -> None:
    assert ask(header) == 401


def test_an_expired_token_is_401_and_a_good_one_costs_one_statement() -> None:
    user = make_user()
    token, secret = AuthToken.objects.create(user=user)
    for _ in range(3):
        AuthToken.objects.create(user=user)
    with CaptureQueriesContext(connection) as captured:
        assert ask(f"Token {secret}") == 200
    assert len([query for query in captured.captured_queries if "knox_authtoken" in query["sql"]]) == 1
    AuthToken.objects.filter(pk=token.pk).update(expiry=timezone.now() - timedelta(seconds=1))
    assert ask(f"Token {secret}") == 401


def test_a_browser_session_works_too_but_not_across_sites(client: object) -> None:
    user = make_user()
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(user)
    assert browser.get("/api/campaigns/").status_code == 200
    assert browser.post("/api/campaigns/", {"name": "Forged"}, format="json").status_code == 403
    assert browser.post("/api/auth/logout/").status_code == 403
