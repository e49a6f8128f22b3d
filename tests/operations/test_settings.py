"""Settings from the environment, each read by a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docker" / "env.example"
READ = """
import json
from frontend import settings
one = settings.DATABASES["default"]
print(json.dumps({"home": str(settings.ATTUNE_HOME), "engine": one["ENGINE"], "name": str(one["NAME"]),
                  "pause": one["CONN_MAX_AGE"], "hosts": settings.ALLOWED_HOSTS, "time": settings.TIME_ZONE}))
"""


def told(**given: str) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, "-c", READ], cwd=ROOT, env={**os.environ, **given}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_a_variable_that_is_left_empty_counts_as_not_set(tmp_path: Path):
    """Each that `env.example` names: whoever takes a # away and writes nothing behind it changes nothing."""
    names = [line.lstrip("#").partition("=")[0] for line in EXAMPLE.read_text().splitlines() if "=" in line]
    names = [name for name in names if name.isidentifier() and name.isupper()]
    assert {"DATABASE_URL", "CONN_MAX_AGE", "ALLOWED_HOSTS", "TIME_ZONE"} < set(names) and len(names) > 40
    home = str(tmp_path / "home")
    unset = told(**{**dict.fromkeys(names, ""), "ATTUNE_HOME": home})
    assert unset["home"] == home and unset["name"] == f"{home}/attune.sqlite3" and unset["pause"] == 60
    assert "localhost" in unset["hosts"] and unset["time"] == "UTC"
    given = told(**{**dict.fromkeys(names, ""), "ATTUNE_HOME": home, "TIME_ZONE": "Europe/Berlin", "CONN_MAX_AGE": "5"})
    assert given == {**unset, "time": "Europe/Berlin", "pause": 5}
