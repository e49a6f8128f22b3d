"""What load balancers and containers ask: no account, no cookie, no session."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection
from django.test import Client


def test_alive_needs_neither_database_nor_account(client: Client):
    answer = client.get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"ok\n")
    assert answer.cookies == {}
    assert "no-store" in answer["Cache-Control"]
    assert client.post("/healthz").status_code == 405


@pytest.mark.django_db
def test_ready_tells_about_the_database_and_goes_on_without_the_broker(client: Client, settings):
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["database"] == "ok"
    assert answer.cookies == {}


@pytest.mark.django_db
def test_ready_says_503_without_a_database(client: Client, monkeypatch: pytest.MonkeyPatch):
    def refuse(*arguments: object) -> None:
        raise DatabaseError("connection refused")

    monkeypatch.setattr(connection, "cursor", refuse)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["database"] == "does not answer"
