"""The table of figures while somebody rewrites an answer."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.factories import make_assignment, make_campaign, make_task

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("language", "told"), [("", "Reading ease"), ("de", "mean nothing in “de”")])
def test_both_texts_are_counted(client: Client, annotator, language: str, told: str) -> None:
    options = {"language": language}
    campaign = make_campaign(annotators=[annotator], kind="rewrite", options=options)
    make_task(campaign, completions=["One two three four."])
    held = make_assignment(annotator, campaign)
    client.force_login(annotator)
    page = client.post(f"/work/{campaign.pk}/readability/", {"assignment": held.key, "text": "One two. <b>"})
    content = page.content.decode()
    assert page.status_code == 200 and page["Cache-Control"] == "no-store"
    assert "<td>4</td><td>3</td>" in content and told in content
    assert ("School grade" in content) == (language == "")
    assert client.post(f"/work/{campaign.pk}/readability/", {"assignment": held.key}).status_code == 200


def test_there_is_none_where_nothing_is_rewritten(client: Client, annotator) -> None:
    campaign = make_campaign(annotators=[annotator], tasks=1)
    held = make_assignment(annotator, campaign)
    client.force_login(annotator)
    assert client.post(f"/work/{campaign.pk}/readability/", {"assignment": held.key}).status_code == 404
