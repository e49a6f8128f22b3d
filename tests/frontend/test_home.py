"""The first page: what waits for whom, counted honestly."""

from __future__ import annotations

import pytest
from django.test import Client

from annotation.models import User
from annotation.services import campaigns, queue, submission
from tests.factories import judge, make_assignment, make_campaign, make_user


def home_of(user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.get("/").content.decode()


def test_it_counts_what_this_person_can_still_judge(annotator: User, lead: User) -> None:
    other = make_user()
    campaign = make_campaign("Mine", lead=lead, annotators=[annotator, other], tasks=5)
    judge(annotator, campaign)
    judge(other, campaign)
    submission.skip(assignment=make_assignment(annotator, campaign), reason="unclear")
    make_assignment(annotator, campaign)  # on the screen
    html = home_of(annotator)
    # Five items: one judged, one judged by somebody else and full, one skipped, one on screen, one free.
    assert "2 items wait for you" in html
    assert "1 judged" in html
    assert "2 left for you" in html


def test_the_seat_of_somebody_else_is_not_promised(annotator: User, lead: User) -> None:
    other = make_user()
    campaign = make_campaign(lead=lead, annotators=[annotator, other], tasks=1)
    held = make_assignment(other, campaign)
    assert "0 left for you" in home_of(annotator)
    queue.release(assignment=held)
    assert "1 item waits for you" in home_of(annotator)


def test_campaigns_with_work_come_first_and_drafts_not_at_all(annotator: User, lead: User) -> None:
    make_campaign("Aardvark", lead=lead, annotators=[annotator])
    make_campaign("Badger", lead=lead, annotators=[annotator], tasks=1)
    make_campaign("Camel", lead=lead, annotators=[annotator], tasks=1, is_open=False)
    paused = make_campaign("Dingo", lead=lead, annotators=[annotator], tasks=1)
    campaigns.pause_campaign(campaign=paused, actor=lead)
    html = home_of(annotator)
    assert html.index("Badger") < html.index("Aardvark") < html.index("Dingo")
    assert "Camel" not in html
    assert "Paused" in html


def test_an_annotator_sees_no_way_to_manage(annotator: User, lead: User) -> None:
    make_campaign("Mine", lead=lead, annotators=[annotator], tasks=1)
    assert "Manage" not in home_of(annotator)
    assert "Campaigns</a>" not in home_of(annotator)


def test_a_stranger_sees_an_explanation(stranger: User, lead: User) -> None:
    make_campaign("Mine", lead=lead, tasks=1)
    html = home_of(stranger)
    assert "Mine" not in html
    assert "your username is “stranger”" in html


@pytest.mark.django_db
def test_somebody_signed_out_signs_in_first() -> None:
    response = Client().get("/")
    assert (response.status_code, response.url) == (302, "/login/?next=/")
