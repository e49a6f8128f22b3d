"""Signing in and out, and the profile with its tokens."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import time_machine
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.test import Client
from knox.models import AuthToken

from annotation import attempts
from annotation.models import Event, User
from annotation.services import tokens
from annotation.services.tokens import MOST_TOKENS
from tests.factories import PASSWORD, make_campaign, make_user


@pytest.fixture
def browser(annotator: User) -> Client:
    client = Client()
    client.force_login(annotator)
    return client


@pytest.mark.django_db
def test_signing_in_leads_to_where_one_wanted_to_go_but_not_elsewhere() -> None:
    make_user("ada", password=PASSWORD)
    for wanted, reached in (("/profile/", "/profile/"), ("https://evil.example/", "/"), ("//evil.example", "/")):
        response = Client().post("/login/", {"username": "ada", "password": PASSWORD, "next": wanted})
        assert (response.status_code, response.url) == (302, reached)


@pytest.mark.django_db
def test_a_wrong_password_is_said_in_place() -> None:
    make_user("ada", password=PASSWORD)
    response = Client().post("/login/", {"username": "ada", "password": "wrong"})
    html = response.content.decode()
    assert response.status_code == 200
    assert 'role="alert"' in html
    assert 'value="ada"' in html


@pytest.mark.django_db
def test_after_ten_failures_the_door_stays_shut_for_a_while_for_that_name_from_there() -> None:
    cache.clear()
    make_user("ada", password=PASSWORD)
    make_user("bea", password=PASSWORD)
    wrong = {"username": "ada", "password": "wrong"}
    with time_machine.travel(1_700_000_000, tick=False) as clock:
        for _ in range(attempts.TOGETHER):
            assert "Too many attempts" not in Client().post("/login/", wrong).content.decode()
        right = {"username": "ADA", "password": PASSWORD}
        assert "Too many attempts" in Client().post("/login/", right).content.decode()
        right["username"] = "ada"
        assert Client().post("/api/auth/token/", right, content_type="application/json").status_code == 429
        assert Client().post("/login/", right, REMOTE_ADDR="192.0.2.7").status_code == 302, (
            "elsewhere is another matter"
        )
        assert Client().post("/login/", {"username": "bea", "password": PASSWORD}).status_code == 302
        assert Event.objects.get(action="account.locked").target == "ada"
        clock.shift(attempts.WINDOW)
        assert Client().post("/login/", right).status_code == 302
    cache.clear()


def test_signing_out_needs_a_post(browser: Client) -> None:
    assert browser.get("/logout/").status_code == 405
    assert browser.post("/logout/").url == "/login/"
    assert browser.get("/profile/").status_code == 302


def test_the_profile_shows_the_pseudonym_and_the_roles(browser: Client, annotator: User) -> None:
    make_campaign("Helpfulness", annotators=[annotator])
    html = browser.get("/profile/").content.decode()
    assert annotator.pseudonym in html
    assert re.search(r"Helpfulness <span[^>]*>\(Annotator\)", html)


def test_a_token_is_shown_once_and_works_until_it_is_revoked(browser: Client, annotator: User) -> None:
    html = browser.post(
        "/profile/", {"action": "make", "name": "export job", "scopes": ["read", "export"], "days": "30"}
    ).content.decode()
    shown = re.search(r'id="new-token">([^<]+)<', html)
    assert shown is not None
    token = shown[1]
    assert token not in browser.get("/profile/").content.decode()
    stored = AuthToken.objects.get(user=annotator)
    assert token not in (stored.digest, stored.token_key)
    assert stored.grant.scopes == ["read", "export"]
    assert stored.expiry is not None
    assert "export job" in browser.get("/profile/").content.decode()
    browser.post("/profile/", {"action": "revoke", "grant": stored.grant.pk})
    assert not AuthToken.objects.exists()


def test_nobody_revokes_the_token_of_somebody_else(browser: Client, stranger: User) -> None:
    grant, _secret = tokens.make(user=stranger, name="theirs")
    theirs = grant.token
    for sent in (str(grant.pk), "", "x", "9" * 30):
        assert browser.post("/profile/", {"action": "revoke", "grant": sent}).status_code == 302
    assert AuthToken.objects.filter(user=stranger).exists()
    assert theirs.token_key[:8] not in browser.get("/profile/").content.decode()


def test_tokens_do_not_pile_up_without_end(browser: Client, annotator: User) -> None:
    for _ in range(MOST_TOKENS):
        AuthToken.objects.create(user=annotator)
    response = browser.post("/profile/", {"action": "make", "scopes": ["read"], "days": "7"})
    assert response.status_code == 422
    assert "Revoke one" in response.content.decode()
    assert AuthToken.objects.count() == MOST_TOKENS


@pytest.mark.django_db
def test_the_profile_is_for_people_who_are_signed_in() -> None:
    assert Client().get("/profile/").url == "/login/?next=/profile/"
    assert Client().post("/profile/", {"action": "make"}).status_code == 302
    assert not AuthToken.objects.exists()


def test_errors_have_pages_of_their_own(browser: Client, settings, tmp_path: Path) -> None:
    # Also where the list of hashed files is missing: an error page must not be the second error.
    settings.STATIC_ROOT = tmp_path
    backend = {"BACKEND": "frontend.storage.HashedStaticFiles"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": backend}
    response = browser.get("/no/such/page/")
    assert response.status_code == 404
    assert "There is nothing at this address" in response.content.decode()
    assert 'href="/static/css/base.css"' in response.content.decode()
    # Where it is there, only the hashed names are served.
    hashed = {"css/base.css": "css/base.0123456789ab.css"}
    (tmp_path / "staticfiles.json").write_text(json.dumps({"version": "1.1", "hash": "", "paths": hashed}))
    settings.STORAGES = {**settings.STORAGES, "staticfiles": backend}
    assert 'href="/static/css/base.0123456789ab.css"' in browser.get("/no/such/page/").content.decode()


def test_a_session_ended_in_one_web_process_is_ended_in_all(annotator: User) -> None:
    here, elsewhere = Client(), Client()
    here.force_login(annotator)
    elsewhere.cookies["sessionid"] = here.cookies["sessionid"].value
    assert elsewhere.get("/").status_code == 200
    # Another process deletes the row and cannot reach the memory of this one.
    Session.objects.all().delete()
    assert elsewhere.get("/").status_code == 302
