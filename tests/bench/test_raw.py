"""The bench's bare SQL, on today's tables: a column that came since would break it where no other test looks."""

from __future__ import annotations

import pytest
from django.db import connection

from annotation.models import Assignment, Feedback, Task
from tests.bench import pages, raw
from tests.factories import make_campaign


@pytest.mark.django_db
def test_every_column_without_a_default_is_given() -> None:
    """SQLite and PostgreSQL alike: what a row must have, and the statements do not say, they could not insert."""
    for model, statement in ((Assignment, raw.CLAIM), (Feedback, raw.SUBMIT)):
        inserted = statement.split(f"INSERT INTO {model._meta.db_table}")[1]
        given = {name.strip() for name in inserted[inserted.index("(") + 1 : inserted.index(")")].split(",")}
        fields = {one.column: one for one in model._meta.concrete_fields if not one.primary_key}
        assert given <= set(fields), f"{given - set(fields)} are no columns any more"
        missing = [name for name, one in fields.items() if not one.null and name not in given]
        assert missing == [], f"{model.__name__} has gained these since"


@pytest.mark.django_db(transaction=True)
def test_the_statements_run_on_todays_tables() -> None:
    campaign = make_campaign(tasks=2)
    if connection.vendor != "postgresql":
        columns = {one.column for one in Task._meta.concrete_fields}
        assert {"campaign_id", "state", "seats", "done", "wanted", "priority", "content"} <= columns
        return
    who = {"campaign": campaign.pk, "user": campaign.created_by_id, "key": "a key"}
    with connection.cursor() as cursor:
        cursor.execute(raw.CLAIM, who)
        lease, task, _content = cursor.fetchone()
        cursor.execute(raw.SUBMIT, {**who, "lease": lease, "task": task})
        for statement in pages.ANEW.values():
            cursor.execute(statement, [campaign.pk])
    said = Feedback.objects.get()
    assert (said.task_id, said.assignment.state) == (task, Assignment.State.SUBMITTED)
    assert Task.objects.get(pk=task).state == Task.State.COMPLETE
