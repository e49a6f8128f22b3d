"""How the database finds the next item: by walking the queue's index, however much a person has done."""

from __future__ import annotations

import json
import time

import pytest
from django.db import connection, transaction
from django.db.models import Value
from django.utils import timezone

from annotation.models import Assignment, Campaign, Task, User
from annotation.services import intake, queue
from tests.factories import make_campaign, make_user

pytestmark = pytest.mark.django_db

ITEMS = 3000
DONE = 1000


@pytest.fixture
def worked(lead) -> tuple[Campaign, User, User]:
    """Return a large campaign with somebody who judged a third of it, each item still open, and somebody new."""
    campaign = make_campaign(lead=lead, overlap=3)
    lines = (json.dumps({"prompt": f"Question {n}?", "completions": [f"a{n}", f"b{n}"]}) for n in range(ITEMS))
    intake.import_lines(campaign=campaign, lines=lines, actor=lead)
    analyze()
    busy, new = make_user(), make_user()
    # After the statistics were taken, as with everybody who works faster than statistics are.
    Assignment.objects.bulk_create(
        Assignment(
            task_id=task,
            campaign=campaign,
            user=busy,
            state=Assignment.State.SUBMITTED,
            shown_order=[0, 1],
            expires_at=timezone.now(),
        )
        for task in Task.objects.order_by("id").values_list("id", flat=True)[:DONE]
    )
    return campaign, busy, new


def analyze() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def plan(user: User, campaign: Campaign) -> str:
    """Return how the database would run the claim, in its own words, with the values it is really given."""
    query = queue._first_open_task(user.pk, campaign.pk, campaign.barred, Value(""), skip_locked=True).query
    sql, params = query.get_compiler(connection=connection).as_sql()
    explain = "EXPLAIN " if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN "
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(explain + sql, params)
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


def test_the_index_of_the_queue_is_walked_and_nothing_is_sorted(worked):
    campaign, busy, new = worked
    for _ in range(2):
        for person in (busy, new):
            told = plan(person, campaign)
            assert "task_open_queue" in told
            assert "Sort" not in told and "TEMP B-TREE" not in told
            assert "Seq Scan on annotation_task" not in told and "SCAN annotation_task" not in told
            assert "assignment_user_id" not in told, "all that a person ever had, for each item passed by"
        analyze()


def test_a_person_who_did_a_thousand_does_not_wait(worked):
    campaign, busy, new = worked
    took = {}
    for name, person in (("busy", busy), ("new", new)):
        started = time.process_time()
        for _ in range(5):
            assignment = queue.next_task(user=person, campaign=campaign)
            assert assignment is not None
            queue.release(assignment=assignment)
            Assignment.objects.filter(pk=assignment.pk).update(state=Assignment.State.SKIPPED)
        took[name] = (time.process_time() - started) / 5
    assert took["busy"] < took["new"] + 0.05, took


def test_thousands_of_items_that_are_not_for_somebody_are_walked_past_in_the_index_too(worked):
    """The number of tags stands in the row, so a person without the skill waits no longer than one who did a third."""
    campaign, _, new = worked
    Task.objects.filter(campaign=campaign).update(tags=1)
    last = Task.objects.order_by("-id").first()
    Task.objects.filter(pk=last.pk).update(tags=2)
    campaign.barred = 1
    told = plan(new, campaign)
    assert "task_open_queue" in told
    assert "Sort" not in told and "TEMP B-TREE" not in told
    started = time.process_time()
    assignment = queue.next_task(user=new, campaign=campaign)
    assert assignment is not None and assignment.task == last
    assert time.process_time() - started < 0.05
