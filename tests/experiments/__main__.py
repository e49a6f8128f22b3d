"""All acceptance experiments and their table: `python -m tests.experiments [card …] [--render]`.

Each file `test_card_NN_name.py` runs in a process of its own; its figures go to `results/card_NN_name.json`, and
`RESULTS.md` is written from all of these. `--render` only writes the table anew.

What an experiment costs is counted in CPU seconds, of its process and of all that it started and waited for, each on
one thread: wall seconds tell how many others used the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.experiments.frame import OUTPUT

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RESULTS = HERE / "results"
TABLE = HERE / "RESULTS.md"
LIMIT_SECONDS = 180  # of CPU time
# Whole rounds with workers of their own: some 35 processes, each of which reads torch and a model first.
LIMITS = {"test_card_26_demo_rounds": 900}
HANGS_SECONDS = 3600  # of wall time, after which an experiment is stopped: many times its limit, for a busy machine
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
OPENING = """# What the experiments found

Written by `python -m tests.experiments`; nothing here is typed by hand. Each line is a claim of a paper, checked on a
small world with a known truth, and the same figure with the method switched off. These worlds show that an
implementation behaves as its method should; they say nothing about quality on real models.

`s` are CPU seconds on one thread, from the start of the test to the figure, with the processes it started. Results
whose file in `results/` has no `cpu_seconds` were measured before these were counted, and show wall seconds, on a
machine that others used too.

| card | method | figure | value (95 % interval) | bound | switched off | seeds | s | commit |
| ---: | --- | --- | --- | --- | --- | ---: | ---: | --- |
"""


def files(wanted: list[str]) -> list[Path]:
    """Return the experiments' files, all or those whose name or number is wanted."""
    found = sorted(HERE.glob("test_card_*.py"))
    if not wanted:
        return found
    return [path for path in found if any(w in path.stem or w == str(int(path.stem.split("_")[2])) for w in wanted)]


def commit_now() -> str:
    """Return the short hash of what is run, with a plus where files differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "training", "tests/experiments/*.py")
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")


@dataclass(frozen=True)
class Cost:
    """How a command ended, what it printed, and what it took."""

    code: int
    output: str
    seconds: float
    cpu_seconds: float


def children_cpu() -> float:
    """Return the CPU seconds of all processes that this one started and waited for, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(command: list[str], env: dict[str, str], hangs: float = HANGS_SECONDS) -> Cost:
    """Run a command on one thread; stop it, and all it started, where it hangs."""
    before, started = children_cpu(), time.monotonic()
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **env, **ONE_THREAD},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output = process.communicate(timeout=hangs)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output = process.communicate()[0] + f"\nStopped after {hangs:.0f} seconds."
        except BaseException:  # Ctrl-C reaches this process only, as the other has a session of its own
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return Cost(process.returncode, output, time.monotonic() - started, children_cpu() - before)


def run(path: Path) -> dict[str, Any]:
    """Run one file and return what it reported."""
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "lines.jsonl"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-m", "experiment"]
        done = measured([*command, str(path)], {OUTPUT: str(lines)})
        if done.code:
            print(done.output)
        told = lines.read_text().splitlines() if lines.exists() else []
        return {
            "file": path.name,
            "commit": commit_now(),
            "passed": done.code == 0,
            "seconds": round(done.seconds, 1),
            "cpu_seconds": round(done.cpu_seconds, 1),
            "lines": [json.loads(line) for line in told],
        }


def rendered(results: list[dict[str, Any]]) -> str:
    """Return the table."""
    rows = []
    for result in results:
        for line in result["lines"]:
            value = line["value"]
            shown = f"{value['estimate']:.3g} ({value['low']:.3g} to {value['high']:.3g})"
            rows.append(
                f"| {line['card']} | {line['method']} ({line['source']}) | {line['figure']} | {shown} | "
                f"{line['bound']}{'' if line['passed'] else ' **missed**'} | "
                f"{line['value_switched_off']:.3g} ({line['switched_off']}) | {len(line['seeds'])} | "
                f"{line.get('cpu_seconds', line['seconds']):.0f} | {result['commit']} |\n"
            )
    claims = {(line["card"], line["method"]): line["claim"] for result in results for line in result["lines"]}
    said = "".join(f"- **{card}, {method}**: {claim}\n" for (card, method), claim in sorted(claims.items()))
    return f"{OPENING}{''.join(rows)}\n## The claims\n\n{said}"


def stored() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob("card_*.json"))]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.experiments", description=__doc__)
    parser.add_argument("cards", nargs="*", help="numbers or names; all if none is given")
    parser.add_argument("--render", action="store_true", help="only write RESULTS.md anew")
    arguments = parser.parse_args()
    failed = []
    for path in [] if arguments.render else files(arguments.cards):
        result = run(path)
        RESULTS.mkdir(exist_ok=True)
        name = path.stem.removeprefix("test_")
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        verdict = "passed" if result["passed"] else "FAILED"
        print(f"{name}: {verdict} in {result['cpu_seconds']:.0f} CPU s ({result['seconds']:.0f} s)", flush=True)
        over = result["cpu_seconds"] > (limit := LIMITS.get(path.stem, LIMIT_SECONDS))
        if over:
            print(f"{name} takes more than its {limit} CPU seconds: make it cheaper.", flush=True)
        failed += [name] if over or not result["passed"] else []
    TABLE.write_text(rendered(stored()))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
