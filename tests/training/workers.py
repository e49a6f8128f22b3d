"""Real workers for tests: processes that work on the test's own database and files, and can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from django.conf import settings
from django.db import connection

from training.models import Run

TOY = Path(__file__).with_name("toy_child.py")
ROOT = Path(__file__).resolve().parents[2]


def toy(*, steps: int = 9, pause: float = 0.0, mode: str = "good") -> list[str]:
    """Return the command that runs the toy child."""
    return [sys.executable, str(TOY), "--steps", str(steps), "--pause", str(pause), "--mode", mode]


def database_url() -> str:
    """Return the address of the test's database, for a process of its own."""
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{values['NAME']}"
    # The server of the test run, with the database that the tests made there.
    given = urlsplit(os.environ["DATABASE_URL"])
    return urlunsplit(given._replace(path=f"/{quote(values['NAME'])}"))


def environment(**more: str) -> dict[str, str]:
    own = {"DATABASE_URL": database_url(), "ATTUNE_FILES": str(settings.ATTUNE_FILES), "PYTHONPATH": str(ROOT)}
    return os.environ | own | more


def start_worker(run_id: int, command: list[str]) -> subprocess.Popen[bytes]:
    """Return a process that executes one run, as a Celery worker would."""
    program = (
        "import django; django.setup()\n"
        "from training.services import execution\n"
        f"execution.execute({run_id}, command={command!r})\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program], env=environment(DJANGO_SETTINGS_MODULE="frontend.settings"), cwd=ROOT
    )


def wait_for(condition: Callable[[], bool], *, seconds: float = 30.0, what: str = "it") -> None:
    """Return when `condition` holds; fail the test when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"Waited {seconds} s for {what} in vain."
        time.sleep(0.05)


def step_of(run: Run) -> int:
    return Run.objects.values_list("step", flat=True).get(pk=run.pk)


def alive(pid: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
