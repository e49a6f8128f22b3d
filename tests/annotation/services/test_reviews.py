"""Reviewing: conflicts first, accept, override, send back with a note; and what stands in exports."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from annotation.agreement import campaign_agreement
from annotation.dataset_filters import Filters
from annotation.datasets import rows
from annotation.errors import Invalid
from annotation.feedback import kind
from annotation.models import Adjudication, Campaign, Event, Feedback, Membership, Returned, Role, Task, User
from annotation.services import queue, returning, reviews, submission
from tests.factories import judge, make_assignment, make_campaign, make_task, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def people() -> list[User]:
    return [make_user(f"judge{n}") for n in range(3)]


@pytest.fixture
def reviewer() -> User:
    return make_user("rhea")


@pytest.fixture
def campaign(lead: User, people: list[User], reviewer: User) -> Campaign:
    """Return three items by three people: they agree on the first, one differs on the second, two on the third."""
    made = make_campaign(lead=lead, annotators=people, tasks=3, overlap=3)
    Membership.objects.create(campaign=made, user=reviewer, role=Role.REVIEWER)
    for said in ((2, 2, 2), (2, 2, -2), (2, -2, 0)):
        for person, preference in zip(people, said, strict=True):
            judge(person, made, preference=preference)
    return made


def item(campaign: Campaign, number: int) -> Task:
    return campaign.tasks.order_by("id")[number]


def test_the_widest_apart_comes_first_and_what_is_decided_goes(
    campaign: Campaign, reviewer: User, django_assert_num_queries: Any
):
    with django_assert_num_queries(2):
        found = reviews.conflicts(campaign)
    assert [one.task for one in found] == [item(campaign, 2), item(campaign, 1)]
    assert [(one.judgements, round(one.agreement, 3)) for one in found] == [(3, 0.0), (3, 0.333)]
    chosen = reviews.judgements(item(campaign, 2))[1]
    reviews.accept(feedback=chosen, cause="subjective", note="B is shorter.", actor=reviewer)
    assert [one.task for one in reviews.conflicts(campaign)] == [item(campaign, 1)]
    assert Event.objects.filter(action="item.accepted", actor=reviewer).count() == 1


def test_the_decision_wins_in_exports_when_asked_and_all_is_there_otherwise(campaign: Campaign, reviewer: User):
    task = item(campaign, 1)
    raw = list(rows(campaign, "judgements"))
    reviews.accept(feedback=reviews.judgements(task)[2], cause="guideline", actor=reviewer)
    assert list(rows(campaign, "judgements")) == raw
    kept = list(rows(campaign, "judgements", Filters(adjudicated=True)))
    assert len(kept) == 7
    assert [row["payload"]["preference"] for row in kept if row["task"] == task.external_id] == [-2]
    before = campaign_agreement(campaign)
    data = {"preference": "1"}
    decided = reviews.override(task=task, data=data, cause="edge", actor=reviewer)
    own = [row for row in rows(campaign, "judgements", Filters(adjudicated=True)) if row["task"] == task.external_id]
    assert [(row["feedback"], row["annotator"]) for row in own] == [(decided.feedback_id, reviewer.pseudonym)]
    assert campaign_agreement(campaign) == before, "who saw all others is no vote"
    again = reviews.override(task=task, data=data, cause="edge", note="Still.", actor=reviewer)
    assert again.feedback.version == 2 and Adjudication.objects.filter(task=task).count() == 3
    assert Adjudication.objects.filter(task=task, is_current=True).get() == again
    task.refresh_from_db()
    assert (task.wanted, task.done, task.seats) == (4, 4, 0)


def test_what_is_no_decision_is_refused_in_words(campaign: Campaign, reviewer: User, people: list[User]):
    task = item(campaign, 1)
    judged = reviews.judgements(task)[0]
    for cause, note, told in (("", "", "Say why"), ("edge", "x" * 3000, "At most"), ("edge", "\x00", "cannot")):
        with pytest.raises(Invalid) as refused:
            reviews.accept(feedback=judged, cause=cause, note=note, actor=reviewer)
        assert told in str(refused.value) or "NUL" in str(refused.value) or refused.value.errors
    with pytest.raises(Invalid):
        reviews.override(task=task, data={}, cause="edge", actor=reviewer)
    with pytest.raises(Invalid, match="blind"):
        reviews.override(task=task, data={"preference": "1"}, cause="edge", actor=people[0])
    assert not Adjudication.objects.exists()


def test_what_is_sent_back_reaches_its_author_and_is_settled_by_a_new_version(
    campaign: Campaign, reviewer: User, people: list[User], django_assert_max_num_queries: Any
):
    judged = reviews.judgements(item(campaign, 1))[2]
    with pytest.raises(Invalid, match="Write"):
        returning.give_back(feedback=judged, note=" ", actor=reviewer)
    returning.give_back(feedback=judged, note="Read answer A to the end.", actor=reviewer)
    with pytest.raises(Invalid, match="already"):
        returning.give_back(feedback=judged, note="Again.", actor=reviewer)
    client = Client()
    client.force_login(people[2])
    assert all("Came back" in client.get(page).content.decode() for page in ("/", f"/work/{campaign.pk}/"))
    assert "Read answer A to the end." in client.get(f"/work/{campaign.pk}/history/").content.decode()
    page = client.get(f"/work/{campaign.pk}/?item={judged.assignment.key}").content.decode()
    assert "Read answer A to the end." in page
    others = Client()
    others.force_login(people[0])
    assert "Came back" not in others.get(f"/work/{campaign.pk}/").content.decode()
    assert not returning.pile(user=people[0], campaign=campaign)
    with django_assert_max_num_queries(12):  # of them 8 to submit; the rest loads item and campaign
        judge(people[2], campaign, preference=2, assignment=judged.assignment)
    assert Returned.objects.get().settled_at is not None
    assert not returning.pile(user=people[2], campaign=campaign)
    assert not any("Came back" in client.get(page).content.decode() for page in ("/", f"/work/{campaign.pk}/"))
    with pytest.raises(Invalid, match="newer"):
        returning.give_back(feedback=judged, note="Late.", actor=reviewer)


def test_a_reviewer_does_all_of_it_on_the_page_and_is_given_no_items(campaign: Campaign, reviewer: User):
    task = item(campaign, 2)
    client = Client()
    client.force_login(reviewer)
    assert f"/reviews/{task.pk}/" in client.get(f"/campaigns/{campaign.pk}/reviews/").content.decode()
    address = f"/campaigns/{campaign.pk}/reviews/{task.pk}/"
    page = client.get(address).content.decode()
    judged = reviews.judgements(task)
    assert all(one.user.pseudonym in page and one.user.username not in page for one in judged)
    assert "model-a" not in page, "who wrote an answer is nobody's business here"
    about = {"review_cause": "edge", "review_note": "Because."}
    refused = client.post(address, {"decision": "accept", **about})
    assert refused.status_code == 422
    assert ">Because.</textarea>" in refused.content.decode() and 'value="edge" selected' in refused.content.decode()
    assert client.post(address, {"decision": "accept", "judgement": "9" * 30, **about}).status_code == 422
    assert client.post(address, {"decision": "return", "judgement": judged[0].pk, **about}).status_code == 302
    assert client.post(address, {"decision": "accept", "judgement": judged[0].pk, **about}).status_code == 302
    assert "Because." in client.get(address).content.decode()
    assert client.post(address, {"decision": "override", "preference": "1", **about}).status_code == 302
    assert Feedback.objects.filter(is_review=True, user=reviewer).count() == 1
    assert client.post(address, {"decision": "nothing", "judgement": judged[0].pk}).status_code == 422
    assert client.get(f"/campaigns/{campaign.pk}/reviews/99999999999999999999/").status_code == 404
    assert client.get(f"/work/{campaign.pk}/").status_code == 403
    assert queue.next_task(user=reviewer, campaign=campaign) is None


def test_what_is_flagged_is_in_front_of_a_reviewer_and_counts_all_the_same(
    campaign: Campaign, reviewer: User, people: list[User], django_assert_num_queries: Any
):
    """By page and over REST; until a decision stands, and in the export of judgements."""
    assert reviews.flagged(campaign) == []
    agreed, client = item(campaign, 0), Client()
    judged = Feedback.objects.current().get(task=agreed, user=people[1])
    client.force_login(people[1])
    again = {"preference": "3", "client_key": "again", "flagged": True}
    assert (
        client.post(f"/api/assignments/{judged.assignment.key}/submit/", again, "application/json").status_code == 200
    )
    with django_assert_num_queries(2):
        assert reviews.flagged(campaign) == [(agreed, 1)]
    amended = client.get(f"/work/{campaign.pk}/undo/").content.decode()
    assert 'name="flagged" value="yes" data-key="f" aria-keyshortcuts="f" checked' in amended
    exported = list(rows(campaign, "judgements", Filters()))
    assert [row["annotator"] for row in exported if row["flagged"]] == [people[1].pseudonym]
    client.force_login(reviewer)
    assert "Flagged by who judged them" in client.get(f"/campaigns/{campaign.pk}/reviews/").content.decode()
    assert ">flagged<" in client.get(f"/campaigns/{campaign.pk}/reviews/{agreed.pk}/").content.decode()
    reviews.accept(feedback=reviews.judgements(agreed)[0], cause="subjective", actor=reviewer)
    assert reviews.flagged(campaign) == []


def test_questions_on_which_people_differ_come_first_and_an_answer_is_taken_over(
    lead: User, people: list[User], reviewer: User
):
    options = {"attributes": ["Clear", "Right"], "comment": "optional"}
    campaign = make_campaign(lead=lead, annotators=people, kind="ratings", options=options, overlap=2)
    Membership.objects.create(campaign=campaign, user=reviewer, role=Role.REVIEWER)
    task = make_task(campaign, completions=("Only one.",))
    for person, right in zip(people[:2], ("1", "4"), strict=True):
        judge(person, campaign, data={"clear_1": "3", "right_1": right, "comment": f"because of {right}"})
    client = Client()
    client.force_login(reviewer)
    page = f"/campaigns/{campaign.pk}/reviews/{task.pk}/"
    html = client.get(page).content.decode()
    questions = html[html.index("By question") :]
    assert questions.index("Right") < questions.index("Clear") and questions.count("differs</span>") == 1
    taken = Feedback.objects.get(user=people[1])
    own = client.get(page, {"from": taken.pk}).content.decode()
    own = own[own.index('id="own" open') :]
    for name, value in (("clear_1", "3"), ("right_1", "4")):
        assert re.search(rf'name="{name}" value="{value}"[^>]* checked', own), name
    assert "because of 4" in own


def test_nobody_is_handed_what_they_judged_or_saw_whether_to_judge_or_to_review(campaign: Campaign, lead: User):
    first, second, _third = (item(campaign, number) for number in range(3))
    Task.objects.filter(campaign=campaign).update(wanted=5, seats=2, state=Task.State.OPEN)
    judged = judge(lead, campaign, preference=1)
    assert judged.task == first
    held = queue.next_task(user=lead, campaign=campaign)
    assert held is not None and held.task == second
    client = Client()
    client.force_login(lead)
    address = f"/campaigns/{campaign.pk}/reviews/"
    assert client.get(f"{address}{second.pk}/").status_code == 302, "who holds it would see what others said"
    assert [one.task for one in reviews.conflicts(campaign, reviewer=lead)] == [item(campaign, 2)]
    with pytest.raises(Invalid, match="another reviewer"):
        reviews.accept(feedback=reviews.judgements(first)[0], cause="edge", actor=lead)
    queue.release(assignment=held)
    assert client.get(f"{address}{second.pk}/").status_code == 200
    third = queue.next_task(user=lead, campaign=campaign)
    assert third is not None and third.task == item(campaign, 2), "what they saw in review is not handed to them"


def test_rest_does_all_of_it_too(campaign: Campaign, reviewer: User, people: list[User]):
    task = item(campaign, 2)
    api, other = APIClient(), APIClient()
    api.force_authenticate(reviewer)
    other.force_authenticate(people[0])
    path = f"/api/campaigns/{campaign.pk}/reviews/"
    listed = api.get(path).json()
    assert [one["task"] for one in listed["results"]] == [task.pk, item(campaign, 1).pk] and listed["causes"] == {}
    assert other.get(path).status_code == 403
    shown = api.get(f"{path}{task.pk}/").json()
    assert [one["annotator"] for one in shown["judgements"]] == [one.pseudonym for one in people]
    assert shown["decision"] is None and shown["judgements"][0]["answer"]["preference"] == "2"
    first, second, _third = (one["judgement"] for one in shown["judgements"])
    back = api.post(f"{path}{task.pk}/return/", {"judgement": first, "note": "Look again."}, format="json")
    assert back.json()["judgements"][0]["returned"] == "Look again."
    accepted = {"judgement": second, "cause": "edge", "note": "B is right."}
    assert api.post(f"{path}{task.pk}/accept/", accepted, format="json").json()["judgement"] == second
    overridden = {"answer": {"preference": "1"}, "cause": "guideline"}
    decided = api.post(f"{path}{task.pk}/override/", overridden, format="json").json()
    assert decided["reviewer"] == reviewer.pseudonym and decided["judgement"] not in (first, second)
    assert api.get(path).json()["causes"] == {"guideline": 1}
    wrong = {"answer": {"preference": "1"}, "cause": "whim"}
    assert api.post(f"{path}{task.pk}/override/", wrong, format="json").status_code == 400
    assert api.post(f"{path}{item(campaign, 1).pk}/accept/", accepted, format="json").status_code == 404


def test_looking_at_what_others_said_is_noted_once_an_hour(
    campaign: Campaign, reviewer: User, lead: User, client: Client
) -> None:
    task = item(campaign, 2)
    client.force_login(reviewer)
    for _ in range(2):
        assert client.get(reverse("review", args=[campaign.pk, task.pk])).status_code == 200
    api = APIClient()
    api.force_authenticate(lead)
    api.get(reverse("api-feedback", args=[campaign.pk]))
    b"".join(api.get(reverse("api-export", args=[campaign.pk]), {"view": "pairs"}))
    seen = Event.objects.filter(campaign=campaign, action__startswith="judgements.").order_by("id")
    assert [(one.action, one.actor, one.target) for one in seen] == [
        ("judgements.seen", reviewer, f"item {task.external_id}"),
        ("judgements.listed", lead, ""),
        ("judgements.exported", lead, "pairs"),
    ]
    client.force_login(lead)
    assert "Somebody looked at what others said" in client.get(reverse("audit", args=[campaign.pk])).content.decode()
    assert "looked at what" not in client.get(reverse("campaign", args=[campaign.pk])).content.decode()


def test_an_answer_is_put_together_question_by_question(
    lead: User, people: list[User], reviewer: User, client: Client
) -> None:
    made = make_campaign(lead=lead, kind="safety", annotators=people, tasks=1, overlap=2)
    Membership.objects.create(campaign=made, user=reviewer, role=Role.REVIEWER)
    said = (
        {"safe_1": "unsafe", "harm_1_violence": "3", "safe_2": "safe", "comment": "One."},
        {"safe_1": "unsafe", "harm_1_violence": "1", "harm_1_drugs": "2", "safe_2": "unsafe", "harm_2_drugs": "1"},
    )
    given, swapped = [], {"1": "2", "2": "1"}
    for person, answer in zip(people[:2], said, strict=True):
        held = queue.next_task(user=person, campaign=made)
        assert held is not None
        # In canonical order, whichever way each of them saw it.
        turned = answer
        if held.shown_order == [1, 0]:
            turned = {re.sub("_([12])", lambda m: f"_{swapped[m[1]]}", name): said for name, said in answer.items()}
        given.append(submission.submit(assignment=held, data=turned, client_key=person.username))
    client.force_login(reviewer)
    address = reverse("review", args=[made.pk, item(made, 0).pk])
    first, second = given
    html = client.get(address).content.decode()
    assert f"?take=safe.1.{second.pk}#own" in html
    taken = {"take": [f"harm_violence.0.{first.pk}", f"safe.1.{second.pk}", "safe.7.1", "nonsense"]}
    html = client.get(address, taken).content.decode()
    own = html[html.index('id="own"') :]
    checked = set(re.findall(r'name="(safe_\d|harm_\d_\w+)" value="(\w+)"[^>]* checked', own))
    assert {one for one in checked if one[1] != "0"} == {
        ("safe_1", "unsafe"),  # as both said
        ("harm_1_violence", "3"),
        ("safe_2", "unsafe"),
        ("harm_2_drugs", "1"),
    }
    html = client.get(address, {"from": second.pk, "take": f"safe.0.{first.pk}"}).content.decode()
    own = html[html.index('id="own"') :]
    checked = set(re.findall(r'name="(safe_\d|harm_\d_\w+)" value="(\w+)"[^>]* checked', own))
    assert ("harm_1_violence", "3") in checked and ("harm_1_drugs", "2") not in checked


def test_two_with_noise_and_an_expert_where_they_differ_are_right_more_often_than_each(lead: User, reviewer: User):
    """Card 7 (arXiv:2308.03549): of two who err on a fifth, 0.64 agree and are right, 0.04 agree and are wrong, and the
    0.32 on which they differ go to an expert, who is right: 0.96. Nobody's own judgement is lost for agreement.
    """
    items, draw = 100, random.Random(7)  # each errs on a fifth, whatever the other does
    two = [make_user(f"noisy{n}") for n in range(2)]
    campaign = make_campaign("Clinic", lead=lead, annotators=two, tasks=items, overlap=2)
    Membership.objects.create(campaign=campaign, user=reviewer, role=Role.REVIEWER)
    truth = {task: draw.choice((-2, 2)) for task in campaign.tasks.order_by("id").values_list("pk", flat=True)}
    place = {task: number for number, task in enumerate(truth)}
    for person, every in zip(two, (1, 5), strict=True):
        for _ in range(items):
            held = make_assignment(person, campaign)
            errs = place[held.task_id] // every % 5 == 0
            judge(person, campaign, preference=truth[held.task_id] * (-1 if errs else 1), assignment=held)
    agreement = campaign_agreement(campaign)
    conflicts = reviews.conflicts(campaign, limit=items)
    for one in conflicts:
        payload = {"verdict": "prefer", "preference": truth[one.task.pk], "comment": ""}
        data = kind(campaign.kind).initial(payload, shown_order=[0, 1])
        reviews.override(task=one.task, data=data, cause="guideline", actor=reviewer)
    assert len(conflicts) / items == 0.32, "the expert's load: both right 0.64, both wrong 0.04"
    numbers = {task.external_id: task.pk for task in campaign.tasks.all()}
    said: dict[int, set[int]] = {}
    for row in rows(campaign, "judgements", Filters(adjudicated=True)):
        said.setdefault(numbers[row["task"]], set()).add(row["payload"]["preference"])
    assert all(len(preferences) == 1 for preferences in said.values()), "one label each"
    right = sum(preferences == {truth[task]} for task, preferences in said.items()) / items
    alone = [row for row in rows(campaign, "judgements") if row["annotator"] == two[0].pseudonym]
    by_one = sum(row["payload"]["preference"] == truth[numbers[row["task"]]] for row in alone) / items
    assert (right, by_one) == (0.96, 0.8)
    assert campaign_agreement(campaign) == agreement, "the expert saw both, and is no vote"
    assert not reviews.conflicts(campaign)
