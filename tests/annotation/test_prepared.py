"""Prepared statements give what the ORM gives, on every thread's own connection, at the same number of statements."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import BigIntegerField, CharField, DateTimeField, F, IntegerField, JSONField
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotation.models import Assignment, Campaign, Event, Task
from annotation.prepared import Insert, Rows, Select, Update, together
from tests.factories import make_assignment, make_campaign, make_user

pytestmark = pytest.mark.django_db

ASSIGNMENTS: Select[Any] = Select(
    lambda user: (
        Assignment.objects.filter(user=user)
        .select_related("task", "campaign")
        .annotate(twice=F("task__wanted") * 2)
        .order_by("id")
    ),
    user=BigIntegerField(),
)
RAISE = Update(
    lambda pk, more: (Task.objects.filter(pk=pk), {"priority": F("priority") + more}),
    pk=BigIntegerField(),
    more=IntegerField(),
)
LOCKED = Select(lambda pk: Task.objects.select_for_update().only("id", "seats").filter(pk=pk), pk=BigIntegerField())


def test_a_select_gives_the_instances_of_the_queryset() -> None:
    user = make_user()
    campaign = make_campaign(annotators=[user], tasks=3, overlap=2)
    make_assignment(user, campaign)
    with CaptureQueriesContext(connection) as captured:
        (found,) = ASSIGNMENTS.all(user=user.pk)
        assert (found.task.content, found.campaign.name, found.twice) == (
            campaign.tasks.get(pk=found.task_id).content,
            campaign.name,
            4,
        )
    assert len(captured.captured_queries) == 2  # ours, and the one of the comparison
    same = Assignment.objects.get(pk=found.pk)
    for field in Assignment._meta.concrete_fields:
        assert getattr(found, field.attname) == getattr(same, field.attname), field.name
    found.draft = {"kept": True}
    found.save()
    assert Assignment.objects.get(pk=found.pk).draft == {"kept": True}
    assert ASSIGNMENTS.first(user=0) is None and ASSIGNMENTS.all(user=-1) == []


def test_what_is_the_same_in_each_call_is_written_into_the_text_on_postgresql() -> None:
    """Else a plan made once could not use the partial index of the queue; the values themselves stay apart."""
    odd = '100%s of \'\\\\ "them"'
    statement = Select(lambda user: Task.objects.filter(seats__gt=0, external_id=odd, id=user), user=BigIntegerField())
    campaign = make_campaign(tasks=2)
    wanted, other = campaign.tasks.order_by("id")
    Task.objects.filter(pk=wanted.pk).update(external_id=odd)
    with CaptureQueriesContext(connection) as captured:
        assert statement.first(user=wanted.pk) == wanted and statement.first(user=other.pk) is None
    if connection.vendor == "postgresql":
        compiled = statement._compile(connection)
        assert len(compiled.params) == 1 and '"seats" > 0' in compiled.sql, captured.captured_queries


def test_columns_left_out_are_fetched_when_asked_for() -> None:
    campaign = make_campaign(tasks=1)
    with transaction.atomic():
        task = LOCKED.first(pk=campaign.tasks.get().pk)
    assert task is not None and task.get_deferred_fields() and task.content["messages"]


@pytest.mark.django_db(transaction=True)
def test_a_statement_that_locks_needs_a_transaction_where_locks_exist() -> None:
    if connection.features.has_select_for_update:
        with pytest.raises(TransactionManagementError, match=r"transaction\.atomic"):
            LOCKED.first(pk=1)
    with transaction.atomic():
        assert LOCKED.first(pk=1) is None


def test_an_update_changes_and_counts() -> None:
    campaign = make_campaign(tasks=2)
    change = Update(
        lambda pk, meta, priority: (
            Task.objects.filter(pk=pk),
            {"meta": meta, "priority": priority, "wanted": F("wanted") + 1},
        ),
        pk=BigIntegerField(),
        meta=JSONField(),
        priority=IntegerField(),
    )
    first, second = campaign.tasks.order_by("id")
    assert change(pk=first.pk, meta={"é": [1, None]}, priority=7) == 1
    assert change(pk=0, meta={}, priority=7) == 0
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.meta, first.priority, first.wanted) == ({"é": [1, None]}, 7, 2)
    assert (list(second.meta), second.priority, second.wanted) == (["origins"], 0, 1)


def test_an_insert_is_what_save_would_have_stored() -> None:
    insert = Insert(Event)
    user = make_user()
    stored = insert(Event(actor=user, action="a.b", detail={"deep": {"x": 1.5}}))
    again = insert(Event(actor=None, action="c.d"))
    found = Event.objects.get(pk=stored.pk)
    assert (found.actor, found.action, found.detail, found.created_at) == (
        user,
        "a.b",
        {"deep": {"x": 1.5}},
        stored.created_at,
    )
    assert timezone.now() - found.created_at < timedelta(minutes=1)
    assert again.pk > stored.pk and Event.objects.get(pk=again.pk).actor is None
    with pytest.raises(TypeError, match="only ever added"):
        stored.save()
    assert Event.objects.count() == 2


def test_a_broken_constraint_is_raised_and_leaves_the_transaction_usable_outside() -> None:
    user = make_user()
    insert = Insert(Campaign)
    insert(Campaign(name="Once", created_by=user))
    with pytest.raises(IntegrityError), transaction.atomic():
        insert(Campaign(name="Once", created_by=user))
    assert Campaign.objects.filter(name="Once").count() == 1


def test_values_are_data_and_never_sql() -> None:
    by_name = Select(lambda name: Campaign.objects.filter(name=name), name=CharField())
    since = Select(lambda moment: Campaign.objects.filter(created_at__gte=moment), moment=DateTimeField())
    name = "x' OR '1'='1 %s %% \\"
    campaign = make_campaign(name)
    make_campaign("other")
    assert by_name.all(name=name) == [campaign]
    assert len(since.all(moment=timezone.now() - timedelta(hours=1))) == 2
    assert since.all(moment=timezone.now() + timedelta(hours=1)) == []


@pytest.mark.django_db(transaction=True)
def test_every_thread_has_its_own() -> None:
    campaign = make_campaign()
    by_id = Select(lambda pk: Campaign.objects.filter(pk=pk), pk=BigIntegerField())
    seen: list[Campaign | None] = []

    def look() -> None:
        try:
            seen.append(by_id.first(pk=campaign.pk))
            connection.close()
            seen.append(by_id.first(pk=campaign.pk))
        finally:
            connection.close()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [campaign] * 8


@pytest.mark.django_db(transaction=True)
def test_together_gives_what_each_gives_and_each_sees_what_those_before_it_did() -> None:
    user, campaign = make_user(), make_campaign(tasks=2)
    first, second = campaign.tasks.order_by("id")
    found = Select(lambda pk: Task.objects.filter(pk=pk), pk=BigIntegerField())
    count = Rows(lambda: Event.objects.filter(action="a.b").values_list("action"))
    insert = Insert(Event)
    with transaction.atomic():
        locked, changed, nobody, now, event, events = together(
            LOCKED.asked(pk=first.pk),
            RAISE.asked(pk=first.pk, more=3),
            RAISE.asked(pk=0, more=3),
            found.asked(pk=first.pk),
            insert.asked(Event(actor=user, action="a.b")),
            count.asked(),
        )
    assert (locked, changed, nobody, now[0].priority) == ([first], 1, 0, first.priority + 3)
    assert Event.objects.get(pk=event.pk).actor == user and events == [("a.b",)]
    second.refresh_from_db()
    assert second.priority == first.priority
    assert together(found.asked(pk=second.pk)) == [[second]] and together() == []


@pytest.mark.django_db(transaction=True)
def test_where_one_of_several_fails_none_after_it_is_run_and_nothing_before_it_stays() -> None:
    campaign = make_campaign("Once", tasks=1)
    task = campaign.tasks.get()
    insert = Insert(Campaign)
    twice = Campaign(name="Once", created_by=campaign.created_by)
    with pytest.raises(IntegrityError), transaction.atomic():
        together(RAISE.asked(pk=task.pk, more=1), insert.asked(twice), RAISE.asked(pk=task.pk, more=1))
    assert Task.objects.get(pk=task.pk).priority == task.priority
    # The connection is as good as before.
    assert together(RAISE.asked(pk=task.pk, more=1)) == [1]
    assert Task.objects.get(pk=task.pk).priority == task.priority + 1
