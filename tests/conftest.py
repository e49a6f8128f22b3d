"""What every test may ask for: the three people, and a place of its own for files."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest
from django.core.cache import cache
from django.db import connections, transaction
from django.test import TransactionTestCase
from django.utils import timezone
from hypothesis import settings

from annotation.models import User
from tests.__main__ import FAILED_NOW
from tests.factories import make_user
from training.services import presence

# What hypothesis thinks of is the same in every run, so that a run tells of the change and not of its luck. FUZZ=wander
# looks further; what that finds gets a test of its own.
settings.register_profile("same", derandomize=True)
settings.register_profile("wander", derandomize=False)
settings.load_profile(os.environ.get("FUZZ", "same"))

append_only = importlib.import_module("annotation.migrations.0013_events_are_only_added")
# Filled by migrating, the same for every test.
KEPT_TABLES = {"django_content_type", "auth_permission"}


def empty_tables(self: TransactionTestCase) -> None:
    """Delete the rows a test with real transactions left: Django's `flush` in a twentieth of the time.

    `flush` truncates every table and makes all permissions and content types anew, which a browser test pays with a
    second; a test fills a handful of tables. Foreign keys are checked at the end of a transaction, so order is free.
    """
    for name in self._databases_names(include_mirrors=False):  # type: ignore[attr-defined]
        connection = connections[name]
        quote = connection.ops.quote_name
        tables = [table for table in connection.introspection.django_table_names() if table not in KEPT_TABLES]
        with transaction.atomic(using=name), connection.cursor() as cursor:
            cursor.execute(" UNION ALL ".join(f"SELECT '{t}' WHERE EXISTS (SELECT 1 FROM {quote(t)})" for t in tables))
            filled = [table for (table,) in cursor.fetchall()]
            if "annotation_event" in filled:  # whose rows nobody deletes; DDL is part of the transaction
                append_only._run(connection, append_only.POSTGRES_BACK, append_only.SQLITE_BACK)
            for table in filled:
                cursor.execute(f"DELETE FROM {quote(table)}")
            if "annotation_event" in filled:
                append_only._run(connection, append_only.POSTGRES, append_only.SQLITE)


TransactionTestCase._fixture_teardown = empty_tables  # type: ignore[attr-defined]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database-only", action="store_true", help="leave out the tests that no database can change")
    parser.addoption("--tell-failures", action="store_true", help="write a line for each failure as it happens")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--database-only"):
        return
    asked = {True: [], False: []}
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        needs = "db" in fixtures or "transactional_db" in fixtures or item.get_closest_marker("django_db") is not None
        asked[needs and item.get_closest_marker("one_database") is None].append(item)
    config.hook.pytest_deselected(items=asked[False])
    items[:] = asked[True]


class Teller:
    """Writes which test failed on a line of its own, at once."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # Asked for only now: whether pytest makes its reporter before or after this one is its own affair.
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and reporter is not None:
            reporter.ensure_newline()
            reporter.write_line(f"{FAILED_NOW}{report.nodeid} ({report.when})")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--tell-failures"):
        config.pluginmanager.register(Teller(config))


@pytest.fixture(autouse=True, scope="session")
def quiet_broker() -> None:
    """Keep messages in memory: no test of a service depends on a broker, and the rows hold the work anyway.

    Before the first message, for Celery keeps its connections: with the broker's socket in them each message of each
    test waited a fifth of a second for a broker that is not there.
    """
    from training.celery import app

    app.conf.broker_url = "memory://"


@pytest.fixture(autouse=True)
def attune_files(settings, tmp_path_factory) -> Path:
    """Return the folder of this test's files; nothing that a test writes stays behind."""
    # Models and prompts of tests lie in `tmp_path`.
    settings.ATTUNE_SHARED_FOLDERS = [tmp_path_factory.getbasetemp()]
    settings.ATTUNE_FILES = tmp_path_factory.mktemp("files")
    media = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": settings.ATTUNE_FILES}}
    settings.STORAGES = {**settings.STORAGES, "default": media}
    return settings.ATTUNE_FILES


@pytest.fixture(autouse=True)
def unhashed_static_files(settings) -> None:
    """Serve scripts and styles under their plain names: tests run without `collectstatic`."""
    backend = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": backend}}


@pytest.fixture(autouse=True)
def workers_are_there() -> None:
    """Let pages believe that workers were seen just now: a test that wants it otherwise forgets it."""
    cache.set(presence.LOOKED_AT, dict.fromkeys(presence.NEEDED, timezone.now()), None)


@pytest.fixture
def annotator(db: None) -> User:
    """Somebody who judges. Put them into a campaign with `make_campaign(annotators=[annotator])`."""
    return make_user("annotator")


@pytest.fixture
def reviewer(db: None) -> User:
    """Somebody who decides where people disagree. Put them into one with `make_campaign(reviewers=[reviewer])`."""
    return make_user("reviewer")


@pytest.fixture
def lead(db: None) -> User:
    """Somebody who leads. Put them into a campaign with `make_campaign(lead=lead)`."""
    return make_user("lead")


@pytest.fixture
def stranger(db: None) -> User:
    """Somebody who is signed in and has no role in any campaign."""
    return make_user("stranger")
