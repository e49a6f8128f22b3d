"""What is made of the advisories about pinned packages; whether they can be reached is the network's affair."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import audit

ROOT = Path(__file__).resolve().parents[2]
HOLE = {"id": "PYSEC-1", "aliases": ["CVE-2026-1"], "fix_versions": ["2.1"], "description": "Reads files of others."}


def package(name: str, *holes: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "version": "2.0", "vulns": list(holes)}


def test_a_known_hole_fails_and_says_what_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    report = {"dependencies": [package("good"), package("bad", HOLE)]}
    code, lines = audit.verdict(report)
    assert code == 1 and lines[0] == "bad 2.0 has PYSEC-1; mended in 2.1."
    monkeypatch.setattr(audit, "ACCEPTED", {"CVE-2026-1": "nobody calls it"})
    assert audit.verdict(report) == (0, ["2 packages were audited, and none has a hole that is known."])


def test_what_nobody_could_ask_about_is_said_and_does_not_look_audited() -> None:
    unknown = {"name": "strange", "skip_reason": "not found"}
    code, (line,) = audit.verdict({"dependencies": [unknown]})
    assert code == 0 and line.startswith("NOT AUDITED")
    assert audit.verdict({"dependencies": [unknown, package("good")]})[1][1] == "Nothing is said about strange."


def audited(tmp_path: Path, pip_audit: str) -> subprocess.CompletedProcess[str]:
    """Run the step with a pip-audit of these words, in the place of the real one."""
    (tmp_path / "pip_audit.py").write_text(pip_audit)
    command = [sys.executable, "-m", "tests.audit"]
    return subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)


def test_an_unreachable_service_is_said_and_fails_nothing(tmp_path: Path) -> None:
    """A pip-audit that ends as the real one does where the name of its server is not found."""
    told = audited(tmp_path, "raise SystemExit('Failed to resolve host')")
    assert told.returncode == 0 and "resolve" in told.stdout
    assert told.stdout.startswith("NOT AUDITED: PyPI's advisories cannot be reached")
    assert "NOT AUDITED: OSV's advisories cannot be reached" in told.stdout


def test_where_pypi_knows_nothing_the_other_service_is_asked(tmp_path: Path) -> None:
    """A mirror skips every package there; a hole that OSV knows still fails the build."""
    skipped, found = {"name": "bad", "skip_reason": "not found"}, package("bad", HOLE)
    told = audited(
        tmp_path,
        f"import json, sys\nreports = {{'pypi': {[skipped]!r}, 'osv': {[found]!r}}}\n"
        "service = sys.argv[sys.argv.index('--vulnerability-service') + 1]\n"
        "print(json.dumps({'dependencies': reports[service]}))\n",
    )
    assert told.returncode == 1 and "By OSV:\nbad 2.0 has PYSEC-1" in told.stdout
    assert told.stdout.startswith("By PyPI:\nNOT AUDITED")


def test_ci_audits_after_the_tests() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert script.index("./attune test <") < script.index("-m tests.audit")
