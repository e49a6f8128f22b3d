"""What docker/README.md says of backups, done: the database and the files elsewhere are the same instance again."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from annotation import datasets
from annotation.models import Campaign
from tests.factories import PASSWORD, judge, make_campaign, make_user
from training.services import snapshots

ROOT = Path(__file__).resolve().parents[2]
# Run by another process on the restored database, so that nothing of ours is still in memory.
LOOKS = """
import django
django.setup()
from django.core.management import call_command
from annotation import datasets
from annotation.models import Campaign, User
from training.models import Snapshot
from training.services import snapshots
call_command("migrate", check_unapplied=True, verbosity=0)
campaign = Campaign.objects.get(name="Kept")
print("".join(datasets.lines(datasets.rows(campaign, "judgements"))), end="")
print(b"".join(snapshots.content(Snapshot.objects.get())).decode(), end="")
print(User.objects.get(username="ada").check_password("a long enough password"))
"""


@pytest.mark.django_db(transaction=True)
def test_a_restored_backup_is_the_same_instance(tmp_path: Path) -> None:
    ada = make_user("ada", password=PASSWORD)
    campaign = make_campaign("Kept", annotators=[ada], tasks=3)
    for preference in (2, -1, 0):
        judge(ada, campaign, preference=preference)
    frozen = snapshots.freeze(campaign=campaign, view="pairs", filters={}, actor=campaign.created_by)
    expected = "".join(datasets.lines(datasets.rows(campaign, "judgements")))
    expected += b"".join(snapshots.content(frozen)).decode() + "True\n"
    home = tmp_path / "home"
    shutil.copytree(settings.ATTUNE_FILES, home / "files")
    with restored(tmp_path) as url:
        Campaign.objects.all().update(name="Changed since")
        environment = {
            **os.environ,
            "DATABASE_URL": url,
            "ATTUNE_HOME": str(home),
            "ATTUNE_FILES": str(home / "files"),
            "SECRET_KEY": settings.SECRET_KEY,
            "DJANGO_SETTINGS_MODULE": "frontend.settings",
        }
        seen = subprocess.run(
            [sys.executable, "-c", LOOKS], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
        )
    assert seen.returncode == 0, seen.stderr
    assert seen.stdout == expected


@contextmanager
def restored(folder: Path) -> Iterator[str]:
    """Back the test's own database up as documented, restore it elsewhere, and yield the URL of that."""
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        with sqlite3.connect(folder / "copy.sqlite3") as copy:
            connection.connection.backup(copy)  # what `.backup` of the sqlite3 program does
        copy.close()
        yield f"sqlite:///{folder / 'copy.sqlite3'}"
        return
    known: dict[str, Any] = connection.settings_dict
    host = known["HOST"] or known["OPTIONS"].get("host", "")
    options = {"host": host, "port": known["PORT"], "username": known["USER"]}
    server = [f"--{name}={value}" for name, value in options.items() if value]
    environment = {**os.environ, "PGPASSWORD": known["PASSWORD"] or ""}
    copy_name, dump = f"attune_restored_{secrets.token_hex(4)}", folder / "attune.dump"

    def run(program: str, *arguments: str) -> None:
        subprocess.run([program, *server, *arguments], env=environment, check=True, timeout=300)

    run("pg_dump", "-Fc", f"--file={dump}", known["NAME"])
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{copy_name}"')
    try:
        run("pg_restore", f"--dbname={copy_name}", "--clean", "--if-exists", str(dump))
        who = f"{known['USER']}:{known['PASSWORD']}@" if known["USER"] else ""
        yield f"postgres://{who}/{copy_name}?host={host}" + (f"&port={known['PORT']}" if known["PORT"] else "")
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "{copy_name}" WITH (FORCE)')


def test_the_documented_commands_are_these() -> None:
    text = (ROOT / "docker" / "README.md").read_text()
    assert re.search(r"pg_dump .*-Fc", text) and re.search(r"pg_restore .*--clean --if-exists", text)
    assert ".backup" in text, "and for SQLite"
