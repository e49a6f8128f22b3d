"""Walk (i): a person signs in, finds work, judges, corrects, and is told when everything is done."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse

from annotation.models import Feedback
from tests.factories import PASSWORD, make_campaign, make_user
from tests.walks.steps import judge_page, signed_in

pytestmark = pytest.mark.django_db


def test_from_sign_in_to_the_last_item(lead) -> None:
    ann = make_user("ann", password=PASSWORD)
    campaign = make_campaign("Helpfulness", lead=lead, annotators=[ann], tasks=4)
    client = signed_in(ann)

    home = client.get(reverse("home")).content.decode()
    assert "Helpfulness" in home
    assert reverse("work", args=[campaign.pk]) in home

    longer_left = {True: "2", False: "6"}
    while judge_page(client, campaign, lambda texts: longer_left[texts[0] >= texts[1]]):
        pass
    assert Feedback.objects.current().filter(user=ann).count() == 4
    # What was said refers to the answers, not to where they stood.
    for said in Feedback.objects.select_related("task"):
        first, second = (one["text"] for one in said.task.content["completions"])
        assert (said.payload["preference"] > 0) == (first >= second)

    done = client.get(reverse("work", args=[campaign.pk])).content.decode()
    assert "everything there is for you" in done

    back = client.get(reverse("work-undo", args=[campaign.pk])).content.decode()
    sent = dict(re.findall(r'<input type="hidden" name="(assignment|client_key)" value="([^"]+)"', back))
    assert client.post(reverse("work", args=[campaign.pk]), {**sent, "preference": "4"}).status_code == 302
    corrected = Feedback.objects.get(version=2)
    assert corrected.payload["verdict"] == "tie"
    assert Feedback.objects.current().count() == 4
    assert Feedback.objects.count() == 5
