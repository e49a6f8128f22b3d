"""How many people judge items that are there already: more open them again, fewer take nothing away."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from annotation.errors import Invalid
from annotation.models import Assignment, Campaign, Event, Feedback, Task, User
from annotation.services import overlap
from tests.factories import judge, make_assignment, make_campaign, make_task, make_user

pytestmark = pytest.mark.django_db


def row(task: Task) -> tuple[int, int, int, str]:
    found = Task.objects.get(pk=task.pk)
    return found.wanted, found.done, found.seats, found.state


def test_more_people_open_items_again_and_fewer_take_nothing_away(lead: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "AT_ONCE", 2)  # so that there are several transactions
    people = [make_user() for _ in range(3)]
    campaign = make_campaign(lead=lead, annotators=people)
    complete, held, untouched = make_task(campaign, priority=3), make_task(campaign, priority=2), make_task(campaign)
    judge(people[0], campaign)
    on_screen = make_assignment(people[1], campaign)
    assert on_screen.task_id == held.pk
    assert overlap.change(campaign=campaign, wanted=3, actor=lead) == 3
    assert row(complete) == (3, 1, 2, "open")
    assert row(held) == (3, 0, 2, "open")
    assert row(untouched) == (3, 0, 3, "open")
    judge(people[2], campaign)
    assert row(complete) == (3, 2, 1, "open")
    assert overlap.change(campaign=campaign, wanted=1, actor=lead) == 3
    assert row(complete) == (2, 2, 0, "complete"), "judgements stay"
    assert row(held) == (1, 0, 0, "open"), "who has it may send it"
    judge(people[1], campaign, assignment=on_screen)
    assert row(held) == (1, 1, 0, "complete")
    assert overlap.change(campaign=campaign, wanted=1, actor=lead) == 0, "there is nothing to change"
    assert Feedback.objects.count() == 3
    assert [event.detail["items"] for event in Event.objects.filter(action="items.overlap")] == [3, 3]


def test_one_batch_by_the_settings_and_what_is_wrong(lead: User) -> None:
    campaign = make_campaign(lead=lead)
    ours = [make_task(campaign, batch="round-1") for _ in range(12)]
    other = make_task(campaign)
    Campaign.objects.filter(pk=campaign.pk).update(overlap=2, cohort_percent=50, cohort_overlap=5)
    campaign.refresh_from_db()
    assert overlap.change(campaign=campaign, wanted=None, batch="round-1", actor=lead) == 12
    assert {row(task)[0] for task in ours} == {2, 5}, "of a share of them more"
    assert row(other)[0] == 1
    for wanted, batch in ((0, ""), (51, ""), (2, "round-9"), (2, "a\x00b")):
        with pytest.raises(Invalid):
            overlap.change(campaign=campaign, wanted=wanted, batch=batch, actor=lead)


def test_a_lead_changes_it_on_the_page_of_settings(client: Client, lead: User, annotator: User) -> None:
    campaign = make_campaign(lead=lead, annotators=[annotator], tasks=2)
    judge(annotator, campaign)
    client.force_login(lead)
    address = reverse("campaign-overlap", args=[campaign.pk])
    assert address in client.get(reverse("campaign-edit", args=[campaign.pk])).content.decode()
    assert "2 items were changed." in client.post(address, {"wanted": "2"}, follow=True).content.decode()
    assert "from 1 to 50" in client.post(address, {"wanted": "x"}, follow=True).content.decode()
    assert make_assignment(lead, campaign).task_id == Assignment.objects.get(user=annotator).task_id
