"""Seven callers of the REST interface, and a campaign with three pairs to judge."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from django.core.cache import cache
from knox.models import AuthToken
from rest_framework.test import APIClient

from annotation.models import Campaign, Role, User
from annotation.services import campaigns, intake, members
from tests.factories import PASSWORD, make_user

CALLERS = ("anonymous", "stranger", "annotator", "reviewer", "engineer", "lead", "admin")


def client_of(user: User | None) -> APIClient:
    """Return a client that sends a token of `user`, or none."""
    client = APIClient()
    if user is not None:
        _, secret = AuthToken.objects.create(user=user)
        client.credentials(HTTP_AUTHORIZATION=f"Token {secret}")
    return client


def pair_line(number: int, **more: Any) -> bytes:
    answers = [
        {"text": f"First answer {number}", "origin": "policy-0"},
        {"text": f"Second answer {number}", "origin": "policy-1"},
    ]
    return json.dumps({"id": f"p{number}", "prompt": f"Question {number}?", "completions": answers, **more}).encode()


def add_pairs(campaign: Campaign, numbers: Iterable[int], **more: Any) -> None:
    report = intake.import_lines(
        campaign=campaign, lines=[pair_line(number, **more) for number in numbers], actor=campaign.created_by
    )
    assert not report.errors


@pytest.fixture(autouse=True)
def _forget_throttles() -> None:
    cache.clear()


@pytest.fixture
def people(db: None) -> dict[str, User | None]:
    found: dict[str, User | None] = {
        name: make_user(name, password=PASSWORD if name == "lead" else None, is_superuser=name == "admin")
        for name in CALLERS[1:]
    }
    return {"anonymous": None, **found}


@pytest.fixture
def campaign(people: dict[str, User]) -> Campaign:
    lead = people["lead"]
    made = campaigns.create(name="Kind answers", actor=lead, guideline="Prefer kindness.", overlap=2)
    for role in (Role.ANNOTATOR, Role.REVIEWER, Role.ENGINEER):
        members.add(campaign=made, username=str(role), role=role, actor=lead)
    add_pairs(made, range(3))
    campaigns.open_campaign(campaign=made, actor=lead)
    made.refresh_from_db()
    return made


@pytest.fixture
def clients(people: dict[str, User | None]) -> dict[str, APIClient]:
    return {name: client_of(user) for name, user in people.items()}
