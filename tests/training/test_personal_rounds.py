"""Rounds of a policy that knows its users: each item is made for one person and goes to nobody else (card 42)."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from django.utils import timezone

from annotation import personal_data, progress
from annotation.models import Campaign, Membership, QualityReport, Task, User
from annotation.services import campaigns, erasure, gold, overlap, quality, queue, submission
from annotation.services.submission import SKIP_REASONS
from tests.factories import judge, make_task, make_user
from tests.training.round_world import first, go, judge_all
from training.errors import WrongState
from training.models import Loop, Round
from training.services import assigned, moves, rounds, versions

pytestmark = pytest.mark.django_db(transaction=True)

State = Round.State


@pytest.fixture
def others(campaign: Campaign, lead: User) -> list[User]:
    people = [make_user("olga"), make_user("omar")]
    for person in people:
        Membership.objects.create(campaign=campaign, user=person, role="annotator")
    return people


def better(task: Task) -> int:
    """Prefer the candidate at the gate, and the first answer else."""
    place = task.meta.get("candidate")
    return 2 if place is None else 3 * (1 - 2 * place)


def of(campaign: Campaign, batch: str) -> list[Task]:
    return list(Task.objects.filter(campaign=campaign, batch=batch).select_related("assignee").order_by("pk"))


def test_each_is_asked_about_what_was_made_for_them(loop: Loop, round: Round, campaign: Campaign, annotator, others):
    """Round 1's policy knows nobody, so its items are everybody's; from its candidate on each is somebody's."""
    rounds.configure(
        loop=loop, settings={"policy_recipe": "dpo-personal", "overlap": 2, "gate_human_pairs": 6}, actor=None
    )
    assert go(round).state == State.LABELLING
    assert {task.assignee for task in of(campaign, "round-1")} == {None} and of(campaign, "round-1")[0].wanted == 2
    for person in (annotator, others[0]):
        judge_all(campaign, person, first)
    assert go(round).state == State.GATING
    assert versions.users(round.candidate) == sorted([annotator.pseudonym, others[0].pseudonym])
    gate = of(campaign, "round-1-gate")
    assert len(gate) == 6 and all(task.wanted == 1 for task in gate)
    assert set(Counter(task.assignee for task in gate)) <= {annotator, *others} and None not in {
        t.assignee for t in gate
    }
    for person in (annotator, *others):
        judge_all(campaign, person, better)
    go(round)
    assert round.state == State.PROMOTED, str(round.note)

    second = go(Round.objects.get(loop=loop, index=2))
    assert second.state == State.LABELLING
    asked = of(campaign, "round-2")
    assert Counter(task.assignee for task in asked) == {annotator: 4, others[0]: 3, others[1]: 3} or sorted(
        Counter(task.assignee for task in asked).values()
    ) == [3, 3, 4]
    for task in asked:
        assert task.wanted == 1
        assert all(task.assignee.pseudonym in answer["text"] for answer in task.content["completions"])
        assert task.assignee.pseudonym not in str(task.content["messages"]) + str(task.meta)
    theirs = {task.pk for task in asked if task.assignee == others[1]}
    assert progress.my_progress(others[1], campaign).available == len(theirs)
    judged = judge_all(campaign, others[1], first)
    assert judged == len(theirs)
    assert set(campaign.feedback.filter(user=others[1], task__batch="round-2").values_list("task", flat=True)) == theirs

    # A pause may be over in minutes; what somebody skipped is nobody's any more, and holds no round up in silence.
    Membership.objects.filter(campaign=campaign, user=others[0]).update(paused_at=timezone.now())
    rounds.advance_far(second.pk)
    assert states(campaign, "round-2") == {annotator: {"open"}, others[0]: {"open"}, others[1]: {"complete"}}
    while held := queue.next_task(user=others[0], campaign=campaign):
        submission.skip(assignment=held, reason=next(iter(SKIP_REASONS)))
    judge_all(campaign, annotator, first)
    assert go(second).state == State.LABELLING and "people who skipped them" in str(second.note)
    assert states(campaign, "round-2") == {annotator: {"complete"}, others[0]: {"withdrawn"}, others[1]: {"complete"}}
    # Of who has left nothing is expected.
    Membership.objects.filter(campaign=campaign, user=others[0]).delete()
    assert go(second).state == State.GATING

    # A gate is not left to those who are there: its pairs go at the deadline, and then a lead decides.
    Membership.objects.filter(campaign=campaign, user=annotator).update(held_back_at=timezone.now())
    judge_all(campaign, others[1], better)
    assert go(second).state == State.GATING
    assert states(campaign, "round-2-gate") == {annotator: {"open"}, others[1]: {"complete"}}
    second.runs.filter(purpose="gate").update(finished_at=timezone.now() - timedelta(days=30))
    assert go(second).state == State.GATING and "A lead may decide now" in str(second.note)
    assert states(campaign, "round-2-gate") == {annotator: {"withdrawn"}, others[1]: {"complete"}}
    with pytest.raises(WrongState):
        rounds.finish_labelling(round=second, actor=None)
    rounds.finish_labelling(round=second, actor=None, reason="One of two is away.")


def states(campaign: Campaign, batch: str) -> dict[User | None, set[str]]:
    found: dict[User | None, set[str]] = {}
    for task in of(campaign, batch):
        found.setdefault(task.assignee, set()).add(task.state)
    return found


@pytest.mark.parametrize("is_late", [False, True])
def test_what_was_made_for_people_who_are_away_waits_until_the_deadline(round, campaign, annotator, others, is_late):
    """Of who has left it goes at once, and nothing tells any more for whom it was, of who was erased meanwhile."""
    away, gone = others
    for person in (annotator, *others):
        Task.objects.filter(pk=make_task(campaign, batch="round-1").pk).update(assignee=person)
    Membership.objects.filter(campaign=campaign, user=away).update(paused_at=timezone.now())
    Membership.objects.filter(user=gone).delete()
    User.objects.filter(pk=gone.pk).update(is_active=False)
    assert assigned.withdraw_absent(round, "round-1", is_late=is_late) == 1 + is_late
    away_now = {"withdrawn"} if is_late else {"open"}
    assert states(campaign, "round-1") == {annotator: {"open"}, away: away_now, None: {"withdrawn"}}
    assert assigned.gone(round, "round-1") == 1
    # Nor where the round is over before anybody looks.
    Task.objects.filter(pk=make_task(campaign, batch="round-1").pk).update(assignee=gone)
    moves.withdraw(round, "round-1")
    assert not Task.objects.filter(assignee=gone).exists()


def test_items_are_made_for_people_who_will_be_given_them(campaign: Campaign, annotator: User, others: list[User]):
    def names() -> set[str]:
        return {person.username for person in assigned.people(campaign).values()}

    everybody = {person.username for person in (annotator, *others)}
    mine = Membership.objects.filter(campaign=campaign, user=annotator)
    assert names() == everybody
    campaign.test_tries = 2
    assert names() == set()
    mine.update(qualified_at=timezone.now())
    assert names() == {annotator.username}
    campaign.test_tries, campaign.wellbeing = 0, "likely"
    assert names() == set()
    mine.update(agreed_at=timezone.now())
    assert names() == {annotator.username}
    campaign.wellbeing = "none"
    campaign.requires, campaign.about, campaign.tags = ["lang:de"], ["violence"], ["needs lang:de", "about violence"]
    assert names() == set()
    mine.update(skills=["lang:de"])
    assert names() == {annotator.username}
    mine.update(declined=["violence"])
    assert names() == set()
    assert set(assigned.members(campaign)) == {person.pseudonym for person in (annotator, *others)}


def test_nobody_else_is_asked_about_what_was_made_for_somebody(campaign, lead, annotator, others):
    """Neither by more people for each item, nor as an item with a known answer; and a quota keeps none of it back."""
    campaign = campaigns.update(campaign=campaign, actor=lead, batch_limit=1, overlap_most=5)
    tasks = [make_task(campaign, batch="round-2", wanted=1) for _ in range(3)]
    Task.objects.filter(pk__in=[task.pk for task in tasks]).update(assignee=annotator)
    assert progress.my_progress(annotator, campaign).available == 3
    assert judge_all(campaign, annotator, first) == 3
    assert overlap.change(campaign=campaign, wanted=3, batch="round-2", actor=lead) == 0
    figures = {"unsure": [{"task": task.pk, "uncertainty": 0.4} for task in tasks]}
    assert quality.widen(campaign=campaign, report=QualityReport(figures=figures)) == 0
    stored = gold.from_judgement(judged=tasks[0].feedback.get(), actor=lead)
    campaign = campaigns.update(campaign=campaign, actor=lead, gold_percent=50)
    assert judge_all(campaign, others[0], first) == 0
    campaign = campaigns.update(campaign=campaign, actor=lead, gold_percent=0, overlap=4)
    gold.retire(stored=stored, actor=lead)
    assert {(task.wanted, task.state) for task in of(campaign, "round-2")} == {(1, "complete")}


def test_a_round_made_for_people_who_left_says_so(loop, round, campaign, annotator, others):
    rounds.configure(loop=loop, settings={"policy_recipe": "dpo-personal"}, actor=None)
    go(round)
    judge_all(campaign, annotator, first)
    go(round)
    for person in (annotator, *others):
        judge_all(campaign, person, better)
    rounds.advance_far(round.pk)
    second = Round.objects.get(loop=loop, index=2)
    rounds.advance_far(second.pk)
    Membership.objects.filter(campaign=campaign, role="annotator").delete()
    assert go(second).state == State.STALLED and "have left the campaign since" in str(second.note)


def test_a_loop_that_wants_it_not_asks_anybody(loop: Loop, round: Round, campaign: Campaign, annotator: User):
    rounds.configure(loop=loop, settings={"policy_recipe": "dpo-personal", "personal": False}, actor=None)
    go(round)
    judge_all(campaign, annotator, first)
    assert go(round).state == State.GATING and versions.users(round.candidate) == [annotator.pseudonym]
    assert {task.assignee for task in of(campaign, "round-1-gate")} == {None}


def test_an_item_made_for_somebody_is_theirs_and_goes_with_them(
    campaign: Campaign, annotator: User, lead: User, others
):
    tasks = [make_task(campaign) for _ in range(4)]
    Task.objects.filter(pk__in=[task.pk for task in tasks[:2]]).update(assignee=others[0])
    mine = next(rows for rows in personal_data.of(others[0]) if rows.name == "annotation.task.assignee")
    assert [row["id"] for row in mine.as_json()] == [task.pk for task in tasks[:2]]
    held = queue.next_task(user=others[0], campaign=campaign)
    assert held is not None and held.task_id == tasks[0].pk
    judge(others[0], campaign, assignment=held)
    assert judge_all(campaign, annotator, first) == len(tasks) - 2
    erasure.erase(person=others[0], actor=others[0], confirmation=others[0].username)
    left = of(campaign, "")[:2]
    assert [(task.assignee, task.state) for task in left] == [(None, "withdrawn")] * 2
    assert queue.next_task(user=annotator, campaign=campaign) is None
