"""An installation of the first schema, with rows in each of its tables, brought to the newest one.

The server's database is a new one, empty, so that the test's own keeps its schema.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections, migrations
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotation.models import Campaign, User
from training.models import ModelVersion, Round, Run, Snapshot

OURS = ("annotation", "training")
FIRST = "0001_schema"
NOW = timezone.now().replace(microsecond=0)
# What a migration changes of rows that were there, and why: model, column, old value, new value.
CHANGED = {
    # training 0007: cost models are a kind of their own, and none is in use as a reward model.
    ("ModelVersion", "kind", "reward", "cost"),
    ("ModelVersion", "state", "promoted", "candidate"),
}


@contextmanager
def empty_database(folder: Path) -> Iterator[None]:
    """Have `django.db.connection` lead to a new database without a table, on the server that the tests use."""
    usual = connections["default"]
    known = usual.settings_dict
    name = str(folder / "old.sqlite3") if usual.vendor == "sqlite" else f"attune_old_{secrets.token_hex(4)}"
    if usual.vendor != "sqlite":
        with usual.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{name}"')
    new = type(usual)({**known, "NAME": name}, alias="default")
    connections["default"] = new
    try:
        yield
    finally:
        new.close()
        connections["default"] = usual
        if usual.vendor != "sqlite":
            with usual.cursor() as cursor:
                cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def migrated_to_first() -> Any:
    """Bring the database to the first schema of our apps, and return the models as they are there."""
    executor = MigrationExecutor(connection)
    targets = [node for node in executor.loader.graph.leaf_nodes() if node[0] not in OURS]
    targets += [(app, FIRST) for app in OURS]
    executor.migrate(targets)
    return executor.loader.project_state(targets).apps


def fill(old: Any) -> None:
    """Write at least one row into each table of the first schema: a campaign judged, frozen, trained on and gated."""

    def add(model: str, /, app: str = "annotation", **values: Any) -> Any:
        return old.get_model(app, model).objects.create(**values)

    lead = add("User", username="lena", pseudonym="p-lena", is_superuser=True)
    person = add("User", username="amir", pseudonym="p-amir")
    campaign = add("Campaign", name="Bread", state="open", kind="pairwise", created_by=lead, options={})
    add("Guideline", campaign=campaign, version=1, text="Prefer what helps.", created_by=lead)
    for who, role in ((lead, "lead"), (person, "annotator")):
        add("Membership", user=who, campaign=campaign, role=role)
    messages = [{"role": "user", "content": "How warm?"}]
    prompt = add("Prompt", campaign=campaign, messages=messages, content_hash="a" * 64)
    texts = ("Warm.", "Hot.")
    answers = [
        add("Completion", prompt=prompt, text=text, content_hash=text[0] * 64, origin="policy-1") for text in texts
    ]
    content = {"messages": messages, "completions": [{"id": one.pk, "text": one.text} for one in answers]}
    tasks = [
        add("Task", campaign=campaign, prompt=prompt, external_id=f"item-{n}", content=content, **counts)
        for n, counts in enumerate(
            ({"wanted": 1, "done": 1, "seats": 0, "state": "complete"}, {"wanted": 1, "seats": 1})
        )
    ]
    for task in tasks:
        for position, answer in enumerate(answers):
            add("TaskCompletion", task=task, completion=answer, position=position)
    common = {"task": tasks[0], "user": person, "campaign": campaign, "shown_order": [1, 0]}
    held = add("Assignment", **common, state="submitted", expires_at=NOW, closed_at=NOW)
    given = {"assignment": held, "kind": "pairwise", "guideline_version": 1, "seconds": 9.0}
    first = add(
        "Feedback",
        **common,
        **given,
        payload={"verdict": "tie", "preference": 0, "comment": ""},
        client_key="1",
        is_current=False,
    )
    add(
        "Feedback",
        **common,
        **given,
        payload={"verdict": "prefer", "preference": 2, "comment": "Says how."},
        client_key="2",
        version=2,
        supersedes=first,
    )
    add("Event", actor=lead, campaign=campaign, action="campaign.opened", target="Bread", detail={"n": 1})

    def trained(model: str, /, **values: Any) -> Any:
        return add(model, app="training", **values)

    snapshot = trained(
        "Snapshot",
        campaign=campaign,
        view="pairs",
        filters={"group_near_duplicates": True},
        rows=1,
        sha256="b" * 64,
        path="snapshots/b.jsonl",
        feedback_ids=[2],
        created_by=lead,
    )
    loop = trained(
        "Loop", campaign=campaign, state="active", settings={}, prompts_path="prompts.jsonl", created_by=lead
    )
    start = trained("ModelVersion", campaign=campaign, kind="policy", number=1, state="promoted", path="models/1")
    next_one = trained(
        "ModelVersion",
        campaign=campaign,
        kind="policy",
        number=2,
        state="rejected",
        path="models/2",
        parent=start,
        snapshot=snapshot,
        metrics={"kl": 0.1},
    )
    trained(
        "ModelVersion",
        campaign=campaign,
        kind="reward",
        number=1,
        state="promoted",
        path="models/3",
        recipe={"name": "cost-model"},
    )
    trained("GateReport", candidate=next_one, parent=start, verdict="fail", figures=[])
    round = trained(
        "Round",
        loop=loop,
        index=1,
        state="rejected",
        prompts=[prompt.pk],
        candidate=next_one,
        policy=start,
        snapshot=snapshot,
        finished_at=NOW,
    )
    trained(
        "Run",
        campaign=campaign,
        kind="fit",
        recipe={"name": "bradley-terry", "knobs": {}},
        state="succeeded",
        output=next_one,
        round=round,
        snapshot=snapshot,
        parent=start,
        created_by=lead,
        step=3,
        total_steps=3,
        started_at=NOW,
        finished_at=NOW,
    )
    trained("Sample", completion=answers[0], version=start, round=round, scores={"reward": 0.5}, logp=-3.0)
    old.get_model("knox", "AuthToken")(user=lead, digest="d" * 128, token_key="k").save()


def rows(old: Any) -> dict[tuple[str, int], dict[str, Any]]:
    """Return each row of the first schema's tables by model and key, with the columns of then."""
    found = {}
    quote = connection.ops.quote_name
    for model in (model for app in OURS for model in old.get_app_config(app).get_models()):
        columns = [field.column for field in model._meta.concrete_fields]
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {', '.join(map(quote, columns))} FROM {quote(model._meta.db_table)}")
            for row in cursor.fetchall():
                told = dict(zip(columns, row, strict=True))
                found[model.__name__, told["id"]] = told
    return found


@pytest.mark.django_db(transaction=True)
def test_rows_of_the_first_schema_are_all_there_in_the_newest_and_their_pages_open(tmp_path: Path) -> None:
    with empty_database(tmp_path):
        old = migrated_to_first()
        fill(old)
        before = rows(old)
        tables = {model.__name__ for app in OURS for model in old.get_app_config(app).get_models()}
        assert {name for name, _ in before} == tables, "a table of the first schema has no row here"
        call_command("migrate", verbosity=0)
        after = rows(old)
        assert after.keys() == before.keys()
        changed = {
            (name, column, value, after[name, key][column])
            for (name, key), row in before.items()
            for column, value in row.items()
            if after[name, key][column] != value
        }
        assert changed == CHANGED
        assert Snapshot.objects.get().is_grouped  # training 0008: what was asked of it
        lead = User.objects.get(username="lena")
        assert set(lead.auth_token_set.get().grant.scopes) >= {"read", "judge", "manage"}  # annotation 0012
        open_pages(lead)


def open_pages(lead: User) -> None:
    client = Client(raise_request_exception=True)
    client.force_login(lead)
    campaign = Campaign.objects.get()
    of = {"campaign_id": campaign.pk}
    plain = (
        "campaign",
        "campaign-people",
        "campaign-quality",
        "campaign-export",
        "snapshots",
        "runs",
        "models",
        "loop",
        "policies",
        "mismatch",
        "gold",
        "audit",
        "work",
        "operations",
        "campaign-edit",
        "loop-edit",
        "reviews",
    )
    asked = [(name, of) for name in plain]
    asked += [("model", {"version_id": version.pk}) for version in ModelVersion.objects.all()]
    asked.append(("model-gate", {"version_id": ModelVersion.objects.get(path="models/2").pk}))
    asked.append(("snapshot", {"snapshot_id": Snapshot.objects.get().pk}))
    asked.append(("run", {"run_id": Run.objects.get().pk}))
    asked.append(("round", {"round_id": Round.objects.get().pk}))
    for name, where in asked:
        assert client.get(reverse(name, kwargs=where)).status_code == 200, name


def test_every_migration_can_be_taken_back_by_one_step() -> None:
    """By its operations; what they change in data is left, or said in their reverse."""
    ours = [one for one in MigrationLoader(None).disk_migrations.values() if one.app_label in OURS]
    assert len(ours) > 40
    assert [str(one) for one in ours if not all(step.reversible for step in one.operations)] == []
    removing = (migrations.RemoveField, migrations.DeleteModel, migrations.RenameField, migrations.RenameModel)
    assert [str(one) for one in ours for step in one.operations if isinstance(step, removing)] == [], "rows are lost"
