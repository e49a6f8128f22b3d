"""A management command on a database without tables says in a sentence what to do, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_command_on_an_empty_database_says_to_migrate(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    env |= {"ATTUNE_HOME": str(tmp_path)}
    command = ["loop", "--campaign", "x"]
    ran = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *command], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert ran.returncode == 1
    (said,) = ran.stderr.splitlines()
    assert said.startswith("The database lacks ") and "Run ./attune manage migrate" in said
