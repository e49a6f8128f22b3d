"""Whatever people do, in whatever order: no seat is lost, none is given twice."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import timedelta

import pytest
import time_machine
from django.db import transaction
from django.db.models import Count, Q
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotation.errors import LeaseLost
from annotation.models import Assignment, Campaign, Feedback, Gold, Task, User
from annotation.services import campaigns, gold, queue, setting_aside, submission
from tests.factories import make_campaign, make_task, make_user

PEOPLE = 4
TASKS = 5
LEASE = 60

people = st.integers(0, PEOPLE - 1)
steps = st.one_of(
    st.tuples(st.just("next"), people),
    st.tuples(st.just("ahead"), people),
    st.tuples(st.just("submit"), people, st.integers(0, 9)),
    st.tuples(st.just("skip"), people, st.integers(0, 9)),
    st.tuples(st.just("release"), people, st.integers(0, 9)),
    st.tuples(st.just("set_aside"), people, st.integers(0, 9)),
    st.tuples(st.just("take_up"), people, st.integers(0, 9)),
    st.tuples(st.just("extend"), people, st.integers(0, 9)),
    st.tuples(st.just("wait"), st.integers(1, 2 * LEASE)),
    st.tuples(st.just("expire"), st.just(0)),
    st.tuples(st.just("withdraw"), st.integers(0, TASKS - 1)),
)


class World:
    """A small campaign and what its people can do to it. They remember every item they ever saw, as tabs do."""

    def __init__(self, wanted: list[int], clock: time_machine.Coordinates) -> None:
        self.clock = clock
        self.people = [make_user() for _ in range(PEOPLE)]
        self.campaign = make_campaign(lead=self.people[0], annotators=self.people[1:], lease_seconds=LEASE)
        self.tasks = [make_task(self.campaign, wanted=count) for count in wanted]
        known = {"answer": {"preference": "1"}}
        gold.set_gold(task=make_task(self.campaign), value=known, actor=self.people[0])
        self.campaign = campaigns.update(campaign=self.campaign, actor=self.people[0], gold_percent=40)
        self.seen: dict[int, list[Assignment]] = {person.pk: [] for person in self.people}

    def do(self, name: str, *arguments: int) -> None:
        getattr(self, name)(*arguments)

    def next(self, person: int, *, ahead: bool = False) -> None:
        user = self.people[person]
        given = queue.next_task(user=user, campaign=self.campaign, ahead=ahead)
        if given is not None:
            assert Assignment.objects.get(pk=given.pk).state == Assignment.State.OPEN
            assert given.expires_at > timezone.now()
            if given not in self.seen[user.pk]:
                self.seen[user.pk].append(given)

    def ahead(self, person: int) -> None:
        self.next(person, ahead=True)

    def submit(self, person: int, which: int) -> None:
        if assignment := self._pick(person, which):
            try:
                submission.submit(assignment=assignment, data={"preference": "3"}, client_key=uuid.uuid4().hex)
            except LeaseLost:
                assert Assignment.objects.get(pk=assignment.pk).draft == {"preference": "3"}

    def skip(self, person: int, which: int) -> None:
        if assignment := self._pick(person, which):
            try:
                submission.skip(assignment=assignment, reason="unclear")
            except LeaseLost:
                assert Assignment.objects.get(pk=assignment.pk).state == Assignment.State.SUBMITTED

    def release(self, person: int, which: int) -> None:
        if assignment := self._pick(person, which):
            queue.release(assignment=assignment)

    def set_aside(self, person: int, which: int) -> None:
        if assignment := self._pick(person, which):
            try:
                setting_aside.set_aside(assignment=assignment, draft={"comment": "later"})
            except LeaseLost:
                state = Assignment.objects.get(pk=assignment.pk).state
                assert state in (Assignment.State.SUBMITTED, Assignment.State.SKIPPED)

    def take_up(self, person: int, which: int) -> None:
        if assignment := self._pick(person, which):
            try:
                assert setting_aside.take_up(assignment=assignment).state == Assignment.State.OPEN
            except LeaseLost:
                assert Assignment.objects.get(pk=assignment.pk).state != Assignment.State.OPEN

    def extend(self, person: int, which: int) -> None:
        if assignment := self._pick(person, which):
            try:
                queue.extend(assignment=assignment)
            except LeaseLost:
                assert Assignment.objects.get(pk=assignment.pk).state != Assignment.State.OPEN

    def wait(self, seconds: int) -> None:
        self.clock.shift(timedelta(seconds=seconds))

    def expire(self, _: int) -> None:
        queue.expire_leases()
        assert not Assignment.objects.filter(state=Assignment.State.OPEN, expires_at__lte=timezone.now()).exists()

    def withdraw(self, task: int) -> None:
        queue.withdraw(tasks=[self.tasks[task].pk])

    def _pick(self, person: int, which: int) -> Assignment | None:
        seen = self.seen[self.people[person].pk]
        return seen[which % len(seen)] if seen else None


def check_invariants(campaign: Campaign) -> None:
    """Fail unless every seat is accounted for."""
    open_ = Assignment.State.OPEN
    standing = Counter(Feedback.objects.current().filter(campaign=campaign).values_list("task_id", flat=True))
    for task in (
        Task.objects.filter(campaign=campaign)
        .defer("content", "meta")
        .annotate(
            live=Count("assignments", filter=Q(assignments__state=open_)),
            judged=Count("assignments", filter=Q(assignments__state=Assignment.State.SUBMITTED)),
        )
    ):
        assert task.seats == task.wanted - task.done - task.live
        assert task.done == task.judged == standing[task.pk] <= task.wanted
        # What is mixed in is complete for the queue at all times.
        if task.state != Task.State.WITHDRAWN and not Gold.objects.filter(task=task).exists():
            assert (task.state == Task.State.COMPLETE) == (task.done == task.wanted)
    held = Assignment.objects.filter(campaign=campaign, state=open_).values("user").annotate(count=Count("id"))
    assert all(row["count"] <= Assignment.SLOTS for row in held)


def drain(campaign: Campaign, people: list[User]) -> None:
    """Let everybody judge until there is nothing for them; fail if a seat is left that somebody could have had."""
    for person in people:
        while assignment := queue.next_task(user=person, campaign=campaign):
            submission.submit(assignment=assignment, data={"preference": "5"}, client_key=uuid.uuid4().hex)
    check_invariants(campaign)
    final = [Assignment.State.SUBMITTED, Assignment.State.SKIPPED]
    for task in Task.objects.filter(campaign=campaign, state=Task.State.OPEN):
        done_with = set(task.assignments.filter(state__in=final).values_list("user_id", flat=True))
        assert done_with == {person.pk for person in people}, "somebody could still have judged this"
    assert not Assignment.objects.filter(campaign=campaign, state=Assignment.State.OPEN).exists()


@pytest.mark.django_db
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wanted=st.lists(st.integers(1, 3), min_size=TASKS, max_size=TASKS), script=st.lists(steps, min_size=1, max_size=40)
)
def test_seats_are_neither_lost_nor_given_twice(db, wanted, script):
    # Hypothesis runs every example in one test; the savepoint gives each its own empty database.
    with transaction.atomic(), time_machine.travel(timezone.now(), tick=False) as clock:
        world = World(wanted, clock)
        for step in script:
            world.do(*step)
            check_invariants(world.campaign)
        drain(world.campaign, world.people)
        transaction.set_rollback(True)
