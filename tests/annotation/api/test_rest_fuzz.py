"""Nothing that can be sent makes the server fail: every answer is a 2xx, or a 4xx in the one shape of errors."""

from __future__ import annotations

import gzip
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from annotation.api.urls import urlpatterns
from annotation.importing.formats import BY_CONTENT_TYPE
from annotation.models import User
from tests.annotation.api.conftest import client_of
from tests.factories import make_assignment, make_campaign, make_user

SLOW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
UNSAFE = ("api-schema", "api-docs", "api-token")  # no body or slow by design; met in their own tests
TEXT = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["\x00", "\ud800", "a\x00b", "💥", "1", "true", "9" * 400, "-1", "1e999", "NaN", ""]),
)
NUMBERS = st.one_of(
    st.integers(), st.sampled_from([2**31, 2**63, 2**64, -(2**63) - 1, 10**300]), st.floats(allow_nan=False)
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        *("preference", "comment", "client_key", "active_seconds", "behaviour", "reason", "note", "ahead"),
        *("name", "description", "kind", "options", "overlap", "lease_seconds", "guideline"),
    ]
)
NASTY = [
    *(b"", b"{", b"nul", b"NaN", b"\xff\xfe", b"1" * 5000, b'{"a":' * 500, b"[" * 100_000, b"[" * 900 + b"]" * 900),
    *(b'{"comment":"\\u0000"}', b'{"preference":"1","comment":"\\ud800"}', b'{"active_seconds":1e999}'),
    b'{"preference": "1", "x": ' + b"[" * 70 + b"]" * 70 + b"}",
]
BODIES = st.one_of(
    st.dictionaries(FIELDS, VALUES, max_size=5).map(lambda value: json.dumps(value).encode()),
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=60),
    st.sampled_from(NASTY),
)
QUERIES = st.dictionaries(
    st.sampled_from(
        [
            *("page_size", "before", "state", "batch", "audit", "current"),
            *("view", "split", "after", "gzip", "simulated", "format"),
        ]
    ),
    TEXT.filter(lambda text: not any("\ud800" <= char <= "\udfff" for char in text)),
    max_size=4,
)
TYPES = st.sampled_from(
    [
        *("application/json", "application/json; charset=utf-7", "application/json; charset=none", "", "a/b", "\xff"),
        *("application/x-ndjson", "text/plain", "application/x-www-form-urlencoded"),
        *("multipart/form-data", "multipart/form-data; boundary=x"),
    ]
)


@pytest.fixture
def lead(db: None) -> User:
    return make_user()


def check(response: Any, sent: Any) -> None:
    assert response.status_code < 500, (sent, response.status_code)
    if response.status_code >= 400:
        answer = response.json()
        assert set(answer) == {"detail", "errors"} and answer["detail"], (sent, answer)
        assert isinstance(answer["errors"], dict), (sent, answer)
    if response.streaming:
        b"".join(response.streaming_content)


@SLOW
@given(
    pattern=st.sampled_from([pattern for pattern in urlpatterns if pattern.name not in UNSAFE]),
    method=st.sampled_from(["GET", "POST", "POST", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"]),
    body=BODIES,
    query=QUERIES,
    content_type=TYPES,
)
def test_no_request_makes_it_fail(
    lead: User, pattern: Any, method: str, body: bytes, query: dict[str, str], content_type: str
) -> None:
    campaign = make_campaign(lead=lead, tasks=1)
    held = make_assignment(lead, campaign)
    client: Any = client_of(lead)
    client.raise_request_exception = False
    path = f"/api/{pattern.pattern}".replace("<int:campaign_id>", str(campaign.pk)).replace("<slug:key>", held.key)
    path = path.replace("<int:event_id>", "1")
    response = client.generic(method, path, body, content_type=content_type, QUERY_STRING=urlencode(query))
    check(response, (method, path, body, query, content_type))


TABLES = st.one_of(
    st.sampled_from(NASTY),
    st.binary(max_size=60),
    st.lists(st.lists(TEXT, max_size=4), max_size=4).map(
        lambda rows: "\n".join(",".join(row) for row in rows).encode(errors="replace")
    ),
    st.lists(
        st.dictionaries(st.sampled_from(["prompt", "chosen", "rejected", "a", "messages", "\x00", "\ud800"]), VALUES),
        max_size=3,
    ).map(lambda rows: json.dumps(rows).encode()),
    st.sampled_from([b'{"a":' * depth + b"1" + b"}" * depth for depth in (60, 499, 501, 800, 880, 900, 920, 950)]),
    st.binary(max_size=40).map(lambda data: b"PAR1" + data + b"PAR1"),
    st.binary(max_size=40).map(lambda data: b"\xff\xff\xff\xff" + data),
)
MAPPINGS = st.one_of(
    TEXT,
    st.just(""),
    st.dictionaries(
        st.sampled_from(["prompt", "completions", "id", "labels", "together", "per_item", "x"]),
        st.one_of(VALUES, st.sampled_from(["a", ["a", "prompt"], 2])),
        max_size=4,
    ).map(json.dumps),
).filter(lambda text: not any("\ud800" <= char <= "\udfff" for char in text))


@SLOW
@given(
    body=TABLES,
    packed=st.booleans(),
    mapping=MAPPINGS,
    content_type=st.sampled_from([*BY_CONTENT_TYPE, "application/octet-stream", "text/plain; charset=x"]),
)
def test_no_import_makes_it_fail(lead: User, body: bytes, packed: bool, mapping: str, content_type: str) -> None:
    campaign = make_campaign(lead=lead)
    client: Any = client_of(lead)
    client.raise_request_exception = False
    path = f"/api/campaigns/{campaign.pk}/import/?{urlencode({'mapping': mapping})}"
    sent = gzip.compress(body) if packed else body
    response = client.generic("POST", path, sent, content_type=content_type)
    check(response, (body, mapping, content_type))
    if response.status_code == 207:
        check(client.get(response.json()["refused"]), body)


@SLOW
@given(number=st.one_of(st.integers(min_value=0), st.sampled_from([2**31, 2**63 - 1, 2**63, 2**64])))
def test_no_number_in_an_address_makes_it_fail(lead: User, number: int) -> None:
    client = client_of(lead)
    for name in ("", "tasks/", "feedback/", "export/", "progress/", "agreement/", "progress/mine/"):
        assert client.get(f"/api/campaigns/{number}/{name}").status_code == 404


def test_a_number_too_long_to_be_read_is_404(lead: User) -> None:
    assert client_of(lead).get(f"/api/campaigns/{'9' * 5000}/").status_code == 404


@pytest.mark.django_db
def test_an_address_of_nothing_is_json_too() -> None:
    response = APIClient().get("/api/nothing/here/")
    assert response.status_code == 404
    assert set(response.json()) == {"detail", "errors"}
