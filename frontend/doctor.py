"""What a machine has and lacks, and what to do about it. Nothing heavy is imported: torch is looked for, not loaded."""

from __future__ import annotations

import enum
import importlib.util
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import kombu.exceptions
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from frontend.stack import QUEUES
from training.celery import app as celery

WORKER_ANSWERS_WITHIN_SECONDS = 3.0


class Level(enum.Enum):
    GOOD = "ok  "
    NOTE = "note"  # works, but somebody may expect more
    BAD = "BAD "


@dataclass(frozen=True)
class Finding:
    name: str
    level: Level
    state: str
    advice: str = ""


def examine() -> list[Finding]:
    """Return all findings. Takes a few seconds when workers do not answer."""
    broker = _broker()
    return [
        _python(),
        _disk(),
        _training_packages(),
        _gpu(),
        _database(),
        broker,
        *_workers(reachable=broker.level is Level.GOOD),
    ]


def _python() -> Finding:
    version = platform.python_version()
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding("Python", Level.GOOD, version)
    return Finding(
        "Python", Level.BAD, version, "Use 3.11, 3.12 or 3.13: ATTUNE_PYTHON=/path/to/python3.11 ./attune demo"
    )


def _disk() -> Finding:
    free = shutil.disk_usage(settings.ATTUNE_HOME).free / 1e9
    state = f"{free:.1f} GB free at {settings.ATTUNE_HOME}"
    if free < 0.3:
        return Finding("Disk", Level.BAD, state, "Make room, or set ATTUNE_HOME to a folder on another disk.")
    if free < 5:
        return Finding("Disk", Level.NOTE, state, "Enough to judge; a real model and its checkpoints need tens of GB.")
    return Finding("Disk", Level.GOOD, state)


def _training_packages() -> Finding:
    missing = [name for name in ("torch", "transformers", "peft", "accelerate") if not importlib.util.find_spec(name)]
    if not missing:
        return Finding("Training packages", Level.GOOD, "installed")
    advice = "A machine that trains needs them: .venv/bin/pip install -c constraints.txt -e '.[train]'"
    return Finding("Training packages", Level.NOTE, f"missing: {', '.join(missing)}", advice)


def _gpu() -> Finding:
    program = shutil.which("nvidia-smi")
    if program is None:
        advice = "Small models train on the processor; for larger ones run the worker on a machine with a GPU."
        return Finding("GPU", Level.NOTE, "none found (no nvidia-smi)", advice)
    query = [program, "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader"]
    try:
        asked = subprocess.run(query, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("GPU", Level.BAD, f"nvidia-smi does not answer ({error})", "Look at the driver.")
    if asked.returncode != 0:
        return Finding("GPU", Level.BAD, (asked.stdout or asked.stderr).strip().splitlines()[0], "Look at the driver.")
    return Finding("GPU", Level.GOOD, "; ".join(asked.stdout.strip().splitlines()))


def _database() -> Finding:
    place = settings.DATABASES["default"]
    name = f"{connection.vendor} at {place.get('HOST') or place['NAME']}"
    try:
        executor = MigrationExecutor(connection)
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        advice = "Start the server or correct DATABASE_URL."
        return Finding("Database", Level.BAD, f"{name} does not answer: {str(error).strip()}", advice)
    if waiting:
        advice = "Run: ./attune manage migrate (serve and demo do it themselves)"
        return Finding("Database", Level.NOTE, f"{name}, {len(waiting)} migrations to run", advice)
    return Finding("Database", Level.GOOD, name)


def _broker() -> Finding:
    embedded = settings.ATTUNE_BROKER_EMBEDDED
    name = f"built in, at {settings.ATTUNE_BROKER_SOCKET}" if embedded else "the one of BROKER_URL"
    try:
        with celery.connection_for_write() as broker:
            broker.ensure_connection(max_retries=1, interval_start=0.1, timeout=2)
    except (OSError, kombu.exceptions.OperationalError) as error:
        if embedded and not Path(settings.ATTUNE_BROKER_SOCKET).exists():
            return Finding("Broker", Level.NOTE, f"{name}: not running", "It runs while ./attune serve or demo does.")
        return Finding("Broker", Level.BAD, f"{name}: {error}", "Start it, or correct BROKER_URL.")
    return Finding("Broker", Level.GOOD, name)


def _workers(*, reachable: bool) -> list[Finding]:
    asked = celery.control.inspect(timeout=WORKER_ANSWERS_WITHIN_SECONDS).active_queues() if reachable else None
    served: dict[str, list[str]] = {queue: [] for queue in QUEUES}
    for node, queues in (asked or {}).items():
        for queue in queues:
            served.setdefault(queue["name"], []).append(node)
    findings = []
    for queue, nodes in served.items():
        if nodes:
            findings.append(Finding(f"Worker {queue}", Level.GOOD, ", ".join(sorted(nodes))))
        else:
            advice = f"Start ./attune serve, or: celery -A training worker -Q {queue} -c 1"
            level = Level.BAD if reachable else Level.NOTE
            findings.append(Finding(f"Worker {queue}", level, "none answers", advice))
    return findings
