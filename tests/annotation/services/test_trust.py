"""Attention checks and the test before the first item: told, paused, let go on; practised, failed, passed."""

from __future__ import annotations

import pytest
from django.test import Client
from rest_framework.test import APIClient

from annotation import datasets
from annotation.errors import Invalid, NotQualified, TooMany
from annotation.models import Campaign, Event, Feedback, Gold, Membership, TrialAnswer, User
from annotation.permissions import campaign_for
from annotation.services import attention, campaigns, gold, queue, trials
from tests.factories import judge, make_campaign, make_task, make_user

pytestmark = pytest.mark.django_db
RIGHT = {"answer": {"preference": "1"}}  # the first of the row, much better


def known(campaign: Campaign, lead: User, purpose: str, count: int) -> None:
    for _number in range(count):
        gold.set_gold(task=make_task(campaign), value={**RIGHT, "purpose": purpose}, actor=lead)


def as_(user: User, campaign: Campaign) -> Campaign:
    """Return the campaign as a request of this person has it."""
    return campaign_for(user, campaign.pk)


def answer(user: User, campaign: Campaign, *, right: bool) -> trials.Answered:
    """Answer the item of practice or test that comes next."""
    task = trials.step(user=user, campaign=campaign).task
    assert task is not None
    first = queue.shown_order(task=task, user=user)[0] == 0
    data = {"preference": "1" if first == right else "7"}
    return trials.answer(user=user, campaign=campaign, task_id=task.pk, data=data)


def test_who_misses_checks_is_told_then_paused_and_a_lead_lets_them_go_on(lead: User):
    person = make_user()
    campaign = make_campaign(lead=lead, annotators=[person], overlap=3)
    known(campaign, lead, "check", 8)
    campaigns.update(campaign=campaign, actor=lead, check_warn=2, check_pause=3)
    judge(person, as_(person, campaign), preference=3)
    judge(person, as_(person, campaign), preference=-3)
    assert as_(person, campaign).warned_at is None
    missed = judge(person, as_(person, campaign), preference=-3)
    assert as_(person, campaign).warned_at and not as_(person, campaign).paused_at
    judge(person, as_(person, campaign), preference=3)
    attention.seen(campaign=campaign, user=person)
    assert as_(person, campaign).warned_at is None, "what was read is not told again"
    judge(person, as_(person, campaign), preference=-2)
    with pytest.raises(NotQualified, match="paused"):
        queue.next_task(user=person, campaign=as_(person, campaign))
    (standing,) = attention.standings(campaign)
    assert standing.paused_at and len(standing.missed) == 3 and len(standing.checks) == 5
    assert missed.pk in [one.feedback.pk for one in standing.missed]
    assert all("right is" in part.sentence for one in standing.missed for part in one.compared)
    attention.lift(campaign=campaign, pseudonym=person.pseudonym, actor=lead)
    assert queue.next_task(user=person, campaign=as_(person, campaign)) is not None
    judge(person, as_(person, campaign), preference=-2)
    assert as_(person, campaign).paused_at is None, "what was missed before counts no more"
    with pytest.raises(Invalid):
        attention.lift(campaign=campaign, pseudonym=person.pseudonym, actor=lead)
    actions = list(Event.objects.filter(action__startswith="person.").values_list("action", flat=True))
    assert sorted(actions) == ["person.lifted", "person.paused", "person.warned"]
    assert Feedback.objects.filter(user=person).count() == 6, "everything judged is kept"


def test_ordinary_items_and_gold_pause_nobody(lead: User):
    person = make_user()
    campaign = make_campaign(lead=lead, annotators=[person], tasks=2)
    known(campaign, lead, "mixed", 3)
    campaigns.update(campaign=campaign, actor=lead, check_warn=1, check_pause=1)
    for _number in range(5):
        judge(person, as_(person, campaign), preference=-3)
    assert as_(person, campaign).paused_at is None and attention.standings(campaign) == []


def test_practice_tells_what_was_right_and_the_test_opens_the_queue_or_does_not(lead: User):
    person, other = make_user(), make_user()
    campaign = make_campaign(lead=lead, annotators=[person, other], tasks=3)
    known(campaign, lead, "practice", 2)
    known(campaign, lead, "test", 6)
    campaign = campaigns.update(campaign=campaign, actor=lead, test_tries=2, test_items=4, test_percent=75)
    with pytest.raises(NotQualified, match="test"):
        queue.next_task(user=person, campaign=as_(person, campaign))
    assert queue.next_task(user=lead, campaign=as_(lead, campaign)) is not None, "who leads it knows the answers"

    practice = trials.begin(user=person, campaign=campaign)
    assert practice.number == trials.PRACTICE and trials.begin(user=person, campaign=campaign) == practice
    first = answer(person, campaign, right=False)
    assert [part.is_hit for part in first.compared] == [False] and "right is" in first.compared[0].sentence
    again = trials.answer(user=person, campaign=campaign, task_id=first.answer.task_id, data={"preference": "4"})
    assert again.answer == first.answer, "sent twice, kept once"
    assert answer(person, campaign, right=True).compared[0].is_hit

    failed = trials.begin(user=person, campaign=campaign)
    assert (failed.number, len(failed.tasks)) == (1, 4)
    assert not set(failed.tasks) & set(practice.tasks)
    for right in (True, True, False, False):
        told = answer(person, campaign, right=right)
        assert told.compared == [], "a test tells nothing of each item"
    failed.refresh_from_db()
    assert (failed.right, failed.passed) == (0.5, False)
    passed = trials.begin(user=person, campaign=campaign)
    assert passed.number == 2 and len(set(passed.tasks) - set(failed.tasks)) == 2, "those not had yet come first"
    for right in (True, True, False, True):
        answer(person, campaign, right=right)
    passed.refresh_from_db()
    assert (passed.right, passed.passed) == (0.75, True)
    assert queue.next_task(user=person, campaign=as_(person, campaign)) is not None
    assert not Feedback.objects.filter(task__gold__isnull=False).exists()
    every = datasets.Filters(include_gold=True)
    assert list(datasets.rows(campaign, "pairs", every)) == [], "nothing trains on practice or test"

    trials.begin(user=other, campaign=campaign)
    for _number in range(2):
        answer(other, campaign, right=True)
    for _try in range(2):
        trials.begin(user=other, campaign=campaign)
        for _item in range(4):
            answer(other, campaign, right=False)
    with pytest.raises(TooMany, match="lead"):
        trials.begin(user=other, campaign=campaign)
    trials.admit(campaign=campaign, pseudonym=other.pseudonym, actor=lead)
    assert as_(other, campaign).qualified
    # Who left and came back keeps what was passed.
    Membership.objects.filter(user=person).delete()
    Membership.objects.create(user=person, campaign=campaign, role="annotator")
    trials.begin(user=person, campaign=campaign)
    assert as_(person, campaign).qualified


def test_items_that_are_retired_in_the_middle_of_a_test_leave_nobody_stuck(lead: User):
    person = make_user()
    campaign = make_campaign(lead=lead, annotators=[person])
    known(campaign, lead, "test", 2)
    campaign = campaigns.update(campaign=campaign, actor=lead, test_tries=1)
    trial = trials.begin(user=person, campaign=campaign)
    answer(person, campaign, right=True)
    left = trials.step(user=person, campaign=campaign).task
    assert left is not None
    gold.retire(stored=Gold.objects.get(task=left), actor=lead)
    with pytest.raises(Invalid):
        trials.answer(user=person, campaign=campaign, task_id=left.pk, data={"preference": "1"})
    assert trials.begin(user=person, campaign=campaign).pk == trial.pk
    assert as_(person, campaign).qualified


def test_the_pages_lead_through_practice_test_and_a_word_on_checks(client: Client, lead: User):
    person = make_user()
    campaign = make_campaign(lead=lead, annotators=[person], tasks=1)
    known(campaign, lead, "practice", 1)
    known(campaign, lead, "test", 1)
    campaign = campaigns.update(campaign=campaign, actor=lead, test_tries=1)
    client.force_login(person)
    work, trial = f"/work/{campaign.pk}/", f"/work/{campaign.pk}/trial/"
    assert trial in client.get(work).content.decode()
    assert client.get(f"{work}?ahead=1").status_code == 204
    assert "First some practice" in client.get(trial).content.decode()
    client.post(trial, {"decision": "begin"})
    page = client.get(trial).content.decode()
    assert "Practice: item 1 of 1" in page
    item = trials.step(user=person, campaign=campaign).task
    assert item is not None
    assert client.post(trial, {"item": str(item.pk)}).status_code == 422
    told = client.post(trial, {"item": str(item.pk), "preference": "4"}).content.decode()
    assert "not right" in told and "To the test" in told
    client.post(trial, {"decision": "begin"})
    assert "Test: item 1 of 1" in client.get(trial).content.decode()
    answer(person, campaign, right=True)
    assert "You passed the test" in client.get(trial).content.decode()
    assert "data-judge" in client.get(work).content.decode()
    Membership.objects.filter(user=person).update(warned_at="2026-01-01T00:00Z")
    assert "A word on your last answers" in client.get(work).content.decode()
    client.post(f"/work/{campaign.pk}/seen/")
    assert "data-judge" in client.get(work).content.decode()
    Membership.objects.filter(user=person).update(paused_at="2026-01-01T00:00Z")
    assert "Your work here is paused" in client.get(work).content.decode()
    client.force_login(lead)
    assert "Paused since" in client.get(f"/campaigns/{campaign.pk}/people/").content.decode()
    people = f"/campaigns/{campaign.pk}/gold/people/"
    client.post(people, {"decision": "lift", "person": person.pseudonym})
    assert Membership.objects.get(user=person).paused_at is None
    assert "Paused since" not in client.get(f"/campaigns/{campaign.pk}/people/").content.decode()
    listed = client.get(f"/campaigns/{campaign.pk}/gold/").content.decode()
    assert person.pseudonym in listed and "Passed" in listed


def test_rest_leads_through_the_same_and_shows_leads_the_results(lead: User):
    person = make_user()
    campaign = make_campaign(lead=lead, annotators=[person], tasks=1)
    known(campaign, lead, "test", 1)
    campaigns.update(campaign=campaign, actor=lead, test_tries=1)
    path = f"/api/campaigns/{campaign.pk}/"
    mine, leads = APIClient(), APIClient()
    mine.force_authenticate(person)
    leads.force_authenticate(lead)
    assert mine.post(f"{path}next/", {}, format="json").status_code == 409
    assert mine.get(f"{path}trial/").json()["number"] is None
    begun = mine.post(f"{path}trial/").json()
    assert begun["number"] == 1 and begun["item"]["completions"] and "gold" not in str(begun).lower()
    wrong = {"item": begun["item"]["id"], "answer": {"preference": "4"}}
    ended = mine.post(f"{path}trial/answer/", wrong, format="json").json()
    assert ended["compared"] == [] and ended["next"]["passed"] is False and ended["next"]["tries_left"] == 0
    assert mine.post(f"{path}trial/").status_code == 409
    (row,) = leads.get(f"{path}trials/").json()["results"]
    assert (row["annotator"], row["right"], row["passed"]) == (person.pseudonym, 0.0, False)
    assert mine.get(f"{path}trials/").status_code == 403
    assert leads.post(f"{path}people/{person.pseudonym}/admit/").status_code == 204
    assert mine.post(f"{path}next/", {}, format="json").status_code == 200
    assert leads.get(f"{path}checks/").json() == {"results": []}
    assert leads.post(f"{path}people/{person.pseudonym}/lift/").status_code == 422
    assert mine.post(f"{path}checks/seen/").status_code == 204
    assert TrialAnswer.objects.count() == 1
