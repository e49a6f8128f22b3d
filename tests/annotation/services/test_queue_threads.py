"""The queue under real threads, each with its own connection, on whatever database the suite runs."""

from __future__ import annotations

import random
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Count, F
from django.utils import timezone

from annotation.errors import LeaseLost
from annotation.models import Assignment, Feedback, Task
from annotation.services import intake, queue, submission
from tests.annotation.services.test_queue_property import check_invariants
from tests.factories import make_assignment, make_campaign, make_user

CLAIMERS = 32

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """Run all of `works`, each in its thread, started together; return what they returned, raise what they raised."""
    barrier = threading.Barrier(len(works))
    results: list[Any] = [None] * len(works)

    def run(place: int, work: Callable[[], Any]) -> None:
        try:
            barrier.wait(timeout=30)
            results[place] = work()
        except BaseException as error:
            results[place] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(place, work)) for place, work in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in threads), "deadlock"
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def submit(assignment: Assignment, key: str | None = None) -> Feedback:
    data = {"preference": "2"}
    return submission.submit(assignment=assignment, data=data, client_key=key or uuid.uuid4().hex)


def test_32_claimers_empty_the_queue_exactly(lead):
    people = [make_user() for _ in range(CLAIMERS)]
    campaign = make_campaign(lead=lead, annotators=people, tasks=60, overlap=3)

    def work(person):
        def judge_all() -> list[int]:
            given = []
            while assignment := queue.next_task(user=person, campaign=campaign, ahead=len(given) % 2 == 1):
                given.append(assignment.task_id)
                submit(assignment)
            while assignment := queue.next_task(user=person, campaign=campaign):  # what was prefetched
                given.append(assignment.task_id)
                submit(assignment)
            return given

        return judge_all

    given = at_once(*(work(person) for person in people))
    assert all(len(tasks) == len(set(tasks)) for tasks in given), "an item twice to one person"
    assert set(Counter(task for tasks in given for task in tasks).values()) == {3}
    assert not Task.objects.exclude(done=F("wanted"), seats=0, state=Task.State.COMPLETE).exists()
    assert Feedback.objects.count() == 180
    check_invariants(campaign)


def test_one_seat_and_32_claimers(lead):
    people = [make_user() for _ in range(CLAIMERS)]
    campaign = make_campaign(lead=lead, annotators=people, tasks=1, overlap=5)
    given = at_once(*(lambda person=person: queue.next_task(user=person, campaign=campaign) for person in people))
    assert sum(one is not None for one in given) == 5, "a locked row is not a missing seat"
    check_invariants(campaign)


def test_everybody_does_everything_while_the_sweeper_runs(lead):
    people = [make_user() for _ in range(CLAIMERS - 1)]
    campaign = make_campaign(lead=lead, annotators=people, tasks=40, overlap=2)
    stop = threading.Event()

    def sweep() -> None:
        while not stop.is_set():
            late = Assignment.objects.filter(state="open").order_by("?").values_list("pk", flat=True)[:3]
            Assignment.objects.filter(pk__in=list(late)).update(expires_at=timezone.now() - timedelta(seconds=1))
            queue.expire_leases()
            stop.wait(0.02)

    def work(number, person):
        def act() -> None:
            chance = random.Random(number)
            try:
                for _ in range(12):
                    assignment = queue.next_task(user=person, campaign=campaign, ahead=chance.random() < 0.3)
                    if assignment is None:
                        return
                    match chance.choice(["submit", "submit", "submit", "skip", "release", "nothing"]):
                        case "submit":
                            submit(assignment)
                        case "skip":
                            submission.skip(assignment=assignment, reason="other")
                        case "release":
                            queue.release(assignment=assignment)
            except LeaseLost:
                pass  # the sweeper was faster, and somebody else has the seat

        return act

    sweeper = threading.Thread(target=lambda: (sweep(), connection.close()))
    sweeper.start()
    try:
        at_once(*(work(number, person) for number, person in enumerate(people)))
    finally:
        stop.set()
        sweeper.join(timeout=30)
    check_invariants(campaign)
    twice = Assignment.objects.values("task", "user").annotate(count=Count("id")).filter(count__gt=1)
    assert not twice.exists()


def test_few_items_and_many_who_wait_for_them_in_no_circle(lead):
    """Rows that turn out to be taken stay locked on PostgreSQL: who then waits must hold none of them."""
    people = [make_user() for _ in range(16)]
    campaign = make_campaign(lead=lead, annotators=people, tasks=4)

    def work(person):
        def take_and_give_back() -> None:
            for _ in range(50):
                if assignment := queue.next_task(user=person, campaign=campaign):
                    queue.release(assignment=assignment)

        return take_and_give_back

    at_once(*(work(person) for person in people))
    check_invariants(campaign)
    assert set(Task.objects.values_list("seats", flat=True)) == {1}


def test_a_double_click_gives_one_item(annotator):
    campaign = make_campaign(annotators=[annotator], tasks=20)
    given = at_once(*[lambda: queue.next_task(user=annotator, campaign=campaign)] * 12)
    assert len({assignment.pk for assignment in given}) == 1
    assert Assignment.objects.count() == 1
    check_invariants(campaign)


def test_two_simultaneous_submits_with_one_key_are_one_judgement(annotator):
    campaign = make_campaign(annotators=[annotator], tasks=5)
    for round_ in range(5):
        held = make_assignment(annotator, campaign)
        stored = at_once(*[lambda held=held, key=f"key-{round_}": submit(held, key)] * 4)
        assert len({feedback.pk for feedback in stored}) == 1
    assert Feedback.objects.count() == 5
    check_invariants(campaign)


def test_simultaneous_submits_with_different_keys_are_versions_of_one_judgement(annotator):
    campaign = make_campaign(annotators=[annotator], tasks=1)
    held = make_assignment(annotator, campaign)
    stored = at_once(*[lambda: submit(held)] * 6)
    assert sorted(feedback.version for feedback in stored) == [1, 2, 3, 4, 5, 6]
    assert Feedback.objects.current().count() == 1
    check_invariants(campaign)


def test_the_last_seat_is_raced_for_by_a_late_submit_and_a_claim(lead, annotator):
    for _ in range(10):
        campaign = make_campaign(lead=lead, annotators=[annotator], tasks=1)
        held = make_assignment(annotator, campaign)
        Assignment.objects.filter(pk=held.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
        queue.expire_leases()

        def late(held=held) -> bool:
            try:
                return submit(held).version == 1
            except LeaseLost:
                return False

        won, claimed = at_once(late, lambda campaign=campaign: queue.next_task(user=lead, campaign=campaign))
        assert won != (claimed is not None), "exactly one gets the seat"
        check_invariants(campaign)


def test_two_imports_of_one_file_at_once_store_it_once(lead):
    campaign = make_campaign(lead=lead)
    lines = [f'{{"prompt": "Question {n % 40}?", "completions": ["yes {n}", "no {n}"]}}' for n in range(700)]
    reports = at_once(*[lambda: intake.import_lines(campaign=campaign, lines=lines, actor=lead)] * 3)
    assert sum(report.created for report in reports) == 700
    assert sum(report.existing for report in reports) == 1400
    assert not any(report.errors for report in reports)
    assert Task.objects.filter(campaign=campaign).count() == 700
