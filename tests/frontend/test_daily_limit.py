"""So many items in a day and no more, on every way to an item; tomorrow there are more."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from annotation.models import Assignment, Feedback
from annotation.services import campaigns, queue
from tests.factories import judge, make_campaign

pytestmark = pytest.mark.django_db


@pytest.fixture
def campaign(lead, annotator):
    made = make_campaign(lead=lead, annotators=[annotator], tasks=8)
    return campaigns.update(campaign=made, actor=lead, daily_limit=3)


def test_after_the_last_item_of_a_day_there_is_none(client: Client, annotator, campaign) -> None:
    client.force_login(annotator)
    assert "3 items wait for you" in client.get("/").content.decode()
    for _ in range(2):
        judge(annotator, campaign)
    assert queue.next_task(user=annotator, campaign=campaign) is not None
    assert queue.next_task(user=annotator, campaign=campaign, ahead=True) is None, "what is held counts"
    client.get(f"/work/{campaign.pk}/")
    held = Assignment.objects.get(user=annotator, state="open")
    answer = client.post(
        f"/work/{campaign.pk}/", {"assignment": held.key, "preference": "2"}, headers={"HX-Request": "true"}
    )
    html = answer.content.decode()
    assert "That is enough for today" in html and 'data-available="0"' in html and "data-start" not in html
    assert Feedback.objects.count() == 3
    assert client.get("/api/campaigns/").status_code == 200
    assert "You have judged 3 today" in client.get("/").content.decode()

    with time_machine.travel(timezone.now() + timedelta(days=1)):
        assert queue.next_task(user=annotator, campaign=campaign) is not None


def test_others_have_a_day_of_their_own(lead, annotator, campaign) -> None:
    for _ in range(3):
        judge(annotator, campaign)
    assert queue.next_task(user=annotator, campaign=campaign) is None
    assert queue.next_task(user=lead, campaign=campaign) is not None


def test_without_a_limit_nothing_is_counted(annotator, lead, django_assert_num_queries) -> None:
    campaign = make_campaign(lead=lead, annotators=[annotator], tasks=2)
    with django_assert_num_queries(6):  # the transaction's own two, and four
        queue.next_task(user=annotator, campaign=campaign)


def test_an_amendment_is_no_new_item(annotator, campaign) -> None:
    first = judge(annotator, campaign)
    for _ in range(2):
        judge(annotator, campaign, assignment=first.assignment, preference=-2)
    assert queue.next_task(user=annotator, campaign=campaign) is not None
