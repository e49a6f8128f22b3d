"""Rounds of a policy that knows its users: each item is made for one person and goes to nobody else (card 42)."""

from __future__ import annotations

from collections import Counter

import pytest
from django.utils import timezone

from annotation import personal_data, progress
from annotation.models import Campaign, Membership, Task, User
from annotation.services import erasure, queue
from tests.factories import judge, make_task, make_user
from tests.training.round_world import first, go, judge_all
from training.models import Loop, Round
from training.services import rounds, versions

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

    # Who is given nothing any more holds no round up, and what was made for them is nobody else's.
    Membership.objects.filter(campaign=campaign, user=others[0]).update(paused_at=timezone.now())
    rounds.advance_far(second.pk)
    states = {task.assignee: task.state for task in of(campaign, "round-2")}
    assert states == {annotator: "open", others[0]: "withdrawn", others[1]: "complete"}
    judge_all(campaign, annotator, first)
    assert go(second).state == State.GATING


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
