"""Ask whether a pinned package has a hole that is known: `python -m tests.audit`, which CI calls.

It needs pip-audit (`pip install -c constraints.txt pip-audit`) and the network: PyPI says what is known of a version,
and where it cannot be asked, or is a mirror that has packages and knows of no holes, OSV does. A hole fails. Where
neither can be asked nothing fails, and it is said that nothing was audited: a build behind a firewall must not stand
still, and must not look as if it had been.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PINS = Path(__file__).resolve().parent.parent / "constraints.txt"
SECONDS = 120  # for each
SERVICES = {"pypi": "PyPI", "osv": "OSV"}  # asked in turn, until one knows the packages
NOT_AUDITED = "NOT AUDITED"
# Number of a hole, or another name of it, to the reason why it does not concern us.
ACCEPTED: dict[str, str] = {}


def verdict(report: dict[str, Any]) -> tuple[int, list[str]]:
    """Return the exit code and what to say about pip-audit's report in JSON."""
    holes, asked, unknown = [], 0, []
    for package in report["dependencies"]:
        if "skip_reason" in package:
            unknown.append(package["name"])
            continue
        asked += 1
        for hole in package["vulns"]:
            if ACCEPTED.keys() & {hole["id"], *hole.get("aliases", ())}:
                continue
            mended = ", ".join(hole["fix_versions"]) or "no version yet"
            holes.append(f"{package['name']} {package['version']} has {hole['id']}; mended in {mended}.")
    if holes:
        return 1, [*holes, "Raise the pins in constraints.txt, or say in tests/audit.py why a hole is none of ours."]
    if not asked:
        return 0, [f"{NOT_AUDITED}: nothing is said here about the holes of any of {len(unknown)} packages."]
    said = [f"{asked} packages were audited, and none has a hole that is known."]
    return 0, said + ([f"Nothing is said about {', '.join(unknown)}."] if unknown else [])


def report_of(service: str) -> dict[str, Any] | str:
    """Return pip-audit's report by what `service` knows, or the last words of a pip-audit that made none."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(PINS), "--no-deps", "--disable-pip"]
    command += ["--vulnerability-service", service, "--format", "json", "--progress-spinner", "off", "--timeout", "10"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        return str(error)
    try:
        report: dict[str, Any] = json.loads(asked.stdout)
    except json.JSONDecodeError:
        return " ".join(asked.stderr.strip().splitlines()[-1:])
    return report


def main() -> int:
    if importlib.util.find_spec("pip_audit") is None:
        print(f"{NOT_AUDITED}: pip-audit is not installed here: pip install -c constraints.txt pip-audit")
        return 0
    for service, name in SERVICES.items():
        report = report_of(service)
        if isinstance(report, str):
            print(f"{NOT_AUDITED}: {name}'s advisories cannot be reached from here.", report)
            continue
        code, lines = verdict(report)
        print(f"By {name}:", *lines, sep="\n")
        if not lines[0].startswith(NOT_AUDITED):
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
