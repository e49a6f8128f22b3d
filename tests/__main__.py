"""All checks and tests: `python -m tests`, which `./attune test` calls once everything is installed.

Without arguments it runs every part below, a few at a time, and ends with a summary. Arguments go to pytest as they
are: `./attune test tests/core -k dpo`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.postgres import postgres_url

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
FAILED_NOW = "Failed just now: "
OUT_OF_SUITE = "not gpu and not experiment and not bench"
# Parts at a time. Each of the long ones keeps a core busy, and has children of its own.
LANES = min(4, max(2, os.cpu_count() or 1))
# What `manage.py check --deploy` judges: the settings that docker/env.example leads to.
PRODUCTION = {
    "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "ALLOWED_HOSTS": "attune.example.org",
    "HTTPS": "true",
}

PACKAGES = ["annotation", "training", "frontend"]
# They are run by hand. That their calls still fit what they call is seen here; of the rest tests are free.
LOOSE = (
    *("arg-type", "assignment", "dict-item", "index", "misc"),
    *("operator", "return-value", "union-attr", "var-annotated"),
)
EXPERIMENTS = ["tests/experiments", "--follow-imports=silent", *(f"--disable-error-code={code}" for code in LOOSE)]


@dataclass(frozen=True)
class Part:
    """Commands that are run one after the other until one fails."""

    name: str
    commands: list[list[str]]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    part: Part
    passed: bool
    seconds: float
    output: str

    @property
    def figures(self) -> str:
        """Return what pytest counted, such as "214 passed, 1 skipped"."""
        counts = re.findall(r"^=* ?((?:\d+ \w+,? ?)+) in [\d.]+s", self.output, re.MULTILINE)
        return "; ".join(count.strip() for count in counts)


def pytest(*arguments: str) -> list[str]:
    return [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", "--tell-failures", *arguments]


def parts(postgres: str) -> list[Part]:
    """Return the parts, longest first, so that the lanes end at about the same time."""
    with_database = ["tests", "--ignore=tests/core", "--ignore=tests/architecture", "--ignore=tests/browser"]
    suite = f"{OUT_OF_SUITE} and not browser"
    manage = [PYTHON, "manage.py"]
    return [
        Part("browser", [pytest("tests", "--ignore=tests/core", "-m", "browser")]),
        Part("suite on SQLite", [pytest(*with_database, "-m", suite)]),
        Part(
            "suite on PostgreSQL",
            # Processes and commands under tests/operations bring their own database, the embedded one.
            [pytest(*with_database, "--ignore=tests/operations", "--database-only", "-m", suite)],
            {"DATABASE_URL": postgres},
        ),
        Part("core", [pytest("tests/core", "-m", OUT_OF_SUITE)]),
        Part("types", [[PYTHON, "-m", "mypy", *one] for one in (PACKAGES, EXPERIMENTS)]),
        Part("architecture", [pytest("tests/architecture", "-m", OUT_OF_SUITE)]),
        Part("style", [[PYTHON, "-m", "ruff", "check", "."], [PYTHON, "-m", "ruff", "format", "--check", "."]]),
        Part("settings", [[*manage, "check"], [*manage, "makemigrations", "--check", "--dry-run"]]),
        Part("settings in production", [[*manage, "check", "--deploy", "--fail-level", "WARNING"]], PRODUCTION),
    ]


def run(part: Part, *, home: Path) -> Outcome:
    """Run a part with a data folder of its own, so that parts never meet in a file."""
    inherited = {key: value for key, value in os.environ.items() if key not in ("DATABASE_URL", "BROKER_URL")}
    environment = {**inherited, "ATTUNE_HOME": str(home), "OMP_NUM_THREADS": "1", **part.environment}
    started = time.monotonic()
    output = ""
    for command in part.commands:
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                output += line
                if FAILED_NOW in line:  # behind the dots; told at once, as the whole output comes at the very end
                    print(f"  {part.name}: {line[line.index(FAILED_NOW) :].strip()}", flush=True)
        if process.returncode:
            return Outcome(part, False, time.monotonic() - started, output)
    return Outcome(part, True, time.monotonic() - started, output)


def main() -> int:
    if len(sys.argv) > 1:
        return subprocess.run([PYTHON, "-m", "pytest", *sys.argv[1:]], cwd=ROOT).returncode
    started = time.monotonic()
    outcomes = []
    with ExitStack() as stack:
        # Short, because a broker's socket lies below it.
        folder = Path(tempfile.mkdtemp(prefix="attune-test-", dir="/tmp"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        postgres = stack.enter_context(postgres_url())
        lanes = stack.enter_context(ThreadPoolExecutor(LANES))
        todo = [lanes.submit(run, part, home=folder / str(i)) for i, part in enumerate(parts(postgres))]
        print(f"Running {len(todo)} parts, {LANES} at a time; this takes many minutes.", flush=True)
        for future in as_completed(todo):
            outcome = future.result()
            outcomes.append(outcome)
            verdict = "passed" if outcome.passed else "FAILED"
            print(f"  {outcome.part.name}: {verdict} in {outcome.seconds:.0f} s  {outcome.figures}", flush=True)
    failed = [outcome for outcome in outcomes if not outcome.passed]
    for outcome in failed:
        print(f"\n{'=' * 20} {outcome.part.name} {'=' * 20}\n{outcome.output}")
    took = f"({(time.monotonic() - started) / 60:.1f} min)"
    skipped = [line for outcome in outcomes for line in outcome.output.splitlines() if line.startswith("SKIPPED")]
    for line in skipped:
        print(line)
    if failed:
        print(f"\n{len(failed)} of {len(outcomes)} parts failed: {', '.join(o.part.name for o in failed)} {took}")
        return 1
    if skipped:
        print(f"\nNothing failed, but {len(skipped)} tests were skipped, and a skipped test proves nothing {took}.")
        return 1
    print(f"\nAll {len(outcomes)} parts passed {took}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
