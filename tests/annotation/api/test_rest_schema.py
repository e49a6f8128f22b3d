"""The OpenAPI document: valid without a warning, complete, and honest about errors."""

from __future__ import annotations

import re
import sys
from io import StringIO
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import call_command
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.test import APIClient

from annotation.api.auto_schema import SOMETHING

UNDOCUMENTED = {"api-schema", "api-docs", None}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    out = StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=out)
    return yaml.safe_load(out.getvalue())


def addresses(patterns: list[URLPattern | URLResolver], prefix: str = "") -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += addresses(pattern.url_patterns, path)
        else:
            found.append((path, pattern.name))
    return found


def test_every_address_is_documented(document: dict[str, Any]) -> None:
    under_api = [
        "/" + path.replace("<int:", "{").replace("<slug:", "{").replace(">", "}")
        for path, name in addresses(get_resolver().url_patterns)
        if path.startswith("api/") and name not in UNDOCUMENTED
    ]
    assert len(under_api) > 30
    assert set(under_api) == set(document["paths"])


def test_every_operation_has_words_a_name_and_its_errors(document: dict[str, Any]) -> None:
    names = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["description"].strip(), (method, path)
            assert {"400", "401", "403", "404", "409", "422"} <= set(operation["responses"]), (method, path)
            names.append(operation["operationId"])
    assert len(names) == len(set(names))


def test_a_text_that_may_not_be_empty_says_so_in_what_is_sent_and_not_in_answers(document: dict[str, Any]) -> None:
    shapes = document["components"]["schemas"]
    assert shapes["HoldBackIn"]["properties"]["username"]["minLength"] == 1
    assert "minLength" not in shapes["CampaignIn"]["properties"]["description"]
    assert "minLength" not in shapes["EventOut"]["properties"]["actor"]


def test_making_a_token_is_the_only_thing_that_needs_none(document: dict[str, Any]) -> None:
    assert set(document["components"]["securitySchemes"]) >= {"token"}
    free = [
        path
        for path, operations in document["paths"].items()
        for operation in operations.values()
        if not operation.get("security") or {} in operation["security"]
    ]
    assert free == ["/api/auth/token/"]


@pytest.mark.django_db
def test_the_page_needs_no_inline_script_and_nothing_from_elsewhere() -> None:
    response = APIClient().get("/api/docs/")
    page = response.content.decode()
    assert response.status_code == 200
    assert "<style" not in page and "http" not in page.replace("http-equiv", "")
    assert all("src=" in tag.split(">")[0] for tag in page.split("<script")[1:])
    script = APIClient().get("/api/docs/?script=")
    assert script["Content-Type"].startswith("application/javascript") and "/api/schema/" in script.content.decode()


@pytest.mark.django_db
def test_more_parameters_than_can_be_read_get_an_error_like_every_other() -> None:
    over = settings.DATA_UPLOAD_MAX_NUMBER_FIELDS + 1
    answer = APIClient().get("/api/campaigns/?" + "&".join(f"a={n}" for n in range(over)))
    assert answer.status_code == 400 and "cannot be read" in answer.json()["detail"]


def test_blanks_in_the_document_are_those_that_are_cut_off() -> None:
    every = [chr(code) for code in range(sys.maxunicode + 1)]
    assert [one for one in every if bool(re.search(SOMETHING, one)) != bool(one.strip())] == []
