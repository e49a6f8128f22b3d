"""What a management command says where the database is not as this version of the code needs it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from django.core.management import execute_from_command_line
from django.db import OperationalError, ProgrammingError, connection
from django.db.migrations.executor import MigrationExecutor


def run(argv: Sequence[str]) -> None:
    """Run a management command; where a table or column is missing, exit with a sentence that says what to do.

    Here and not in each command, so that Django's own and those of others say the same. With ``--traceback`` the error
    is shown as it is, as Django does with those of commands.
    """
    try:
        execute_from_command_line(list(argv))
    except (OperationalError, ProgrammingError):  # "no such table" in SQLite, "does not exist" in PostgreSQL
        lacking = _lacking()
        if not lacking or "--traceback" in argv:
            raise
        sys.exit(
            f"The database lacks {lacking} of the changes that this version of Attune needs. Run ./attune manage "
            "migrate (or python manage.py migrate), then this again."
        )


def _lacking() -> int:
    """Return how many migrations were not applied; 0 where nobody can tell, as the database cannot be reached."""
    try:
        executor = MigrationExecutor(connection)
        return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    except OperationalError:
        return 0
