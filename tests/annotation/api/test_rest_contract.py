"""What the OpenAPI document promises holds for whatever fits it, and for much that does not: status, type and shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import HealthCheck, given, settings
from knox.models import AuthToken
from rest_framework.test import APIClient
from schemathesis.checks import CHECKS as ALL_CHECKS

from annotation.models import Assignment, Membership, Role, User
from frontend.wsgi import application
from tests.factories import make_assignment, make_campaign, make_user
from tests.training.chat_world import answered, make_chat_loop, say
from training.models import Chat


def refused_for_a_value(_ctx: Any, response: Any, _case: schemathesis.Case) -> None:
    """In place of `positive_data_acceptance`, for which a 400 is never right: whether a name is somebody's, or a file
    is there, no schema can say. That a field is none, it can."""
    assert b"There is no such field" not in response.content


CHECKS = [check for check in ALL_CHECKS.get_all() if check.__name__ != "positive_data_acceptance"]
CHECKS.append(refused_for_a_value)
ENDS_THE_SESSION = {"token_delete"}
TAGS = ["authentication", "campaigns", "chats", "training", "work"]


@pytest.fixture
def kept_connection(db: None) -> Iterator[None]:
    """The server closes its connection after a request; here that is the one that the test's data are in."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def document(kept_connection: None) -> Any:
    return schemathesis.openapi.from_wsgi("/api/schema/?format=json", application)


@pytest.fixture
def lead(db: None) -> User:
    """Everything a person can be in one campaign that has items, and in which they talk to its policy."""
    lead = make_user()
    campaign = make_campaign(lead=lead, annotators=[lead], tasks=3)
    Membership.objects.get_or_create(campaign=campaign, user=lead, role=Role.ENGINEER)
    make_assignment(lead, campaign)
    make_chat_loop(campaign)
    answered(say(campaign, lead))
    return lead


@pytest.mark.parametrize("tag", TAGS)
def test_every_answer_is_as_documented(document: Any, lead: User, tag: str) -> None:
    headers = {"Authorization": f"Token {AuthToken.objects.create(lead)[1]}"}
    assignment = Assignment.objects.get(user=lead)
    real = {"campaign_id": assignment.campaign_id, "key": assignment.key, "chat_id": Chat.objects.get().pk}
    operations = [found.ok() for found in document.get_all_operations()]
    assert {tag_ for operation in operations for tag_ in operation.tags} == set(TAGS)
    answered = set()
    for operation in operations:
        if tag not in operation.tags or operation.definition.raw["operationId"] in ENDS_THE_SESSION:
            continue

        @settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def check(case: schemathesis.Case) -> None:
            # What is made up names nothing; most of the calls are about what is there.
            for name, value in real.items():
                if name in case.path_parameters and len(str(case.path_parameters[name])) % 4:
                    case.path_parameters[name] = value
            answered.add(case.call_and_validate(headers=headers, checks=CHECKS).status_code)

        check()
    assert tag == "authentication" or answered & {200, 201, 204}, answered  # not only errors were looked at


def test_an_address_with_an_odd_end_gets_the_error_of_every_other(db: None) -> None:
    answer = APIClient().get("/api/campaigns/a%0Ab/open/")
    assert answer.status_code == 404 and set(answer.json()) == {"detail", "errors"}
