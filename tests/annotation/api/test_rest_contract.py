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
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS as ALL_CHECKS
from schemathesis.config import SchemathesisConfig
from schemathesis.core.parameters import ParameterLocation

from annotation.models import Assignment, Campaign, Membership, Role, User
from frontend.wsgi import application
from tests.factories import make_assignment, make_campaign, make_user
from tests.training.chat_world import answered, make_chat_loop, say
from training.models import Chat

# Whether a name is taken, a file is there or a campaign is open, no schema can say: what fits the schema may break
# such a rule, which is a 422 (and 404, 409 as ever). A 400 says that the document lacks something.
ACCEPTED = ["2xx", "3xx", "401", "403", "404", "409", "422", "429"]
CONFIG = SchemathesisConfig.from_dict({"checks": {"positive_data_acceptance": {"expected-statuses": ACCEPTED}}})
CHECKS = ALL_CHECKS.get_all()
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
    return schemathesis.openapi.from_wsgi("/api/schema/?format=json", application, config=CONFIG)


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


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("tag", TAGS)
def test_every_answer_is_as_documented(document: Any, lead: User, tag: str, mode: GenerationMode) -> None:
    headers = {"Authorization": f"Token {AuthToken.objects.create(lead)[1]}"}
    assignment = Assignment.objects.get(user=lead)
    real = {"campaign_id": assignment.campaign_id, "key": assignment.key, "chat_id": Chat.objects.get().pk}
    operations = [found.ok() for found in document.get_all_operations()]
    assert {tag_ for operation in operations for tag_ in operation.tags} == set(TAGS)
    answered = set()
    for operation in operations:
        if tag not in operation.tags or operation.definition.raw["operationId"] in ENDS_THE_SESSION:
            continue
        if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query):
            continue  # an address alone can only name nothing

        @settings(
            max_examples=6 if mode is GenerationMode.POSITIVE else 3,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(mode))
        def check(case: schemathesis.Case) -> None:
            # What is made up names nothing; most of the calls are about what is there.
            made = case.meta.components.get(ParameterLocation.PATH)
            for name, value in () if made and made.mode is GenerationMode.NEGATIVE else real.items():
                if name in case.path_parameters and len(str(case.path_parameters[name])) % 4:
                    case.path_parameters[name] = value
            answered.add(case.call_and_validate(headers=headers, checks=CHECKS).status_code)

        check()
    # Not only errors were looked at, or such as no address gives.
    wanted = {200, 201, 204} if mode is GenerationMode.POSITIVE else {400}
    assert tag == "authentication" or answered & wanted, answered


@pytest.mark.parametrize(
    ("address", "body", "told"),
    [
        ("next", {"ahead": 0}, {"ahead": ["This must be true or false."]}),
        ("overlap", {"batch": 5, "wanted": 2}, {"batch": ["This must be a text, in quotes."]}),
        ("overlap", {"batch": "a", "wanted": "2"}, {"wanted": ["This must be a whole number, without quotes."]}),
        ("skills", {"username": "a", "skills": ["b", 1]}, {"skills": {"1": ["This must be a text, in quotes."]}}),
    ],
)
def test_a_value_of_another_json_type_is_refused(lead: User, address: str, body: Any, told: Any) -> None:
    answer = _client(lead).post(f"/api/campaigns/{Campaign.objects.get().pk}/{address}/", body, format="json")
    assert (answer.status_code, answer.json()["errors"]) == (400, told)


def test_a_whole_number_of_any_length_is_one_and_then_too_large(lead: User) -> None:
    body = {"batch": "", "wanted": 10**400}
    answer = _client(lead).post(f"/api/campaigns/{Campaign.objects.get().pk}/overlap/", body, format="json")
    assert answer.status_code == 400


@pytest.mark.parametrize("query", ["export/?view=", "export/schema/?view=", "gold/?search=", "events/?until="])
def test_a_parameter_without_a_value_does_not_count_as_left_out(lead: User, query: str) -> None:
    answer = _client(lead).get(f"/api/campaigns/{Campaign.objects.get().pk}/{query}")
    assert answer.status_code == 400
    assert list(answer.json()["errors"].values()) == [["Give this a value, or leave it out."]]


def test_of_a_parameter_that_is_given_twice_none_is_dropped(lead: User) -> None:
    answer = _client(lead).get(f"/api/campaigns/{Campaign.objects.get().pk}/gold/?retired=true&retired=")
    assert (answer.status_code, answer.json()["errors"]) == (400, {"retired": ["Give this once."]})


def test_a_nul_fits_the_document_but_cannot_be_stored(lead: User) -> None:
    body = {"batch": "a\0", "wanted": 2}
    answer = _client(lead).post(f"/api/campaigns/{Campaign.objects.get().pk}/overlap/", body, format="json")
    assert answer.status_code == 422 and "NUL" in answer.json()["detail"]


def test_a_filter_nobody_knows_is_refused_and_not_left_out(lead: User) -> None:
    body = {"view": "pairs", "filters": {"decontaminate": {"suites": ["a"], "m": 8}, "rond": [1]}}
    answer = _client(lead).post(f"/api/training/campaigns/{Campaign.objects.get().pk}/snapshots/", body, format="json")
    assert answer.status_code == 400
    assert set(answer.json()["errors"]["filters"]) == {"decontaminate", "rond"}


def _client(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


def test_an_address_with_an_odd_end_gets_the_error_of_every_other(db: None) -> None:
    answer = APIClient().get("/api/campaigns/a%0Ab/open/")
    assert answer.status_code == 404 and set(answer.json()) == {"detail", "errors"}
