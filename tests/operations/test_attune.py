"""The script `./attune` in a copy of its own, with a pip that says what it was asked for instead of downloading."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# A Python whose venv module makes a folder with a Python like itself, whose pip notes its arguments, and which for
# everything else says what it would run.
FAKE_PYTHON = """#!/bin/sh
case "$*" in
"-c import sys;"*) exit 0 ;;
--version) echo "Python 3.11.99" ;;
"-m venv --clear .venv")
    [ -z "${NO_VENV:-}" ] || { echo "ensurepip is not available"; exit 1; }
    mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
"-m pip --version") exit 0 ;;
"-m pip install"*)
    echo "$*" >>pip-calls
    echo "Collecting django"
    [ -z "${PIP_SAYS:-}" ] || { echo "$PIP_SAYS"; exit 1; } ;;
*) echo "runs: $*" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("attune", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    programs = tmp_path / "programs"
    programs.mkdir()
    python = programs / "python3.11"
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    return tmp_path


def attune(checkout: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{checkout / 'programs'}:/usr/bin:/bin"
    return subprocess.run(
        [str(checkout / "attune"), *arguments],
        env={"PATH": path, "HOME": str(checkout), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def pip_calls(checkout: Path) -> list[str]:
    noted = checkout / "pip-calls"
    return noted.read_text().splitlines() if noted.exists() else []


def test_the_first_call_installs_and_the_second_does_not(checkout: Path):
    first = attune(checkout, "demo", "--port", "8001")
    assert first.returncode == 0, first.stderr
    assert "First set-up" in first.stdout
    assert first.stdout.endswith("runs: manage.py demo --port 8001\n")
    assert len(pip_calls(checkout)) == 1 and "-c constraints.txt -e .[train,local]" in pip_calls(checkout)[0]
    second = attune(checkout, "manage", "doctor")
    assert second.stdout == "runs: manage.py doctor\n"
    assert len(pip_calls(checkout)) == 1


def test_the_test_command_adds_its_extra_once_and_the_demo_keeps_it(checkout: Path):
    attune(checkout, "demo")
    added = attune(checkout, "test", "-k", "x").stdout
    assert "Adding what './attune test' needs." in added and added.endswith("runs: -m tests -k x\n")
    attune(checkout, "demo")
    assert len(pip_calls(checkout)) == 2 and ".[test]" in pip_calls(checkout)[1]


def test_a_changed_list_of_packages_is_installed_again_with_the_extras_that_were_there(checkout: Path):
    attune(checkout, "test")
    with (checkout / "constraints.txt").open("a") as file:
        file.write("new==1.0\n")
    changed = attune(checkout, "demo")
    assert "The list of packages changed" in changed.stdout
    assert ".[test]" in pip_calls(checkout)[1]


def test_a_failed_install_is_explained_and_continued(checkout: Path):
    failed = attune(checkout, "demo", PIP_SAYS="ERROR: Could not connect")
    assert failed.returncode == 1
    assert "Could not connect" in failed.stderr and "run this again" in failed.stderr
    assert not (checkout / ".venv.lock").exists()
    again = attune(checkout, "demo")
    assert again.returncode == 0
    assert "Making .venv" not in again.stdout, "what was made is kept"
    full = attune(checkout, "test", PIP_SAYS="OSError: [Errno 28] No space left on device")
    assert full.returncode == 1 and "The disk is full" in full.stderr


def test_a_half_made_environment_is_made_again(checkout: Path):
    broken = checkout / ".venv" / "bin"
    broken.mkdir(parents=True)
    (broken / "python").write_text("#!/bin/sh\nexit 1\n")
    (broken / "python").chmod(0o755)
    mended = attune(checkout, "demo")
    assert mended.returncode == 0 and "Making .venv" in mended.stdout


def test_without_a_usable_python_or_venv_it_says_what_to_install(checkout: Path):
    no_venv = attune(checkout, "demo", NO_VENV="1")
    assert no_venv.returncode == 1 and "apt install python3-venv" in no_venv.stderr
    python = checkout / "programs" / "python3.11"
    for name in ("python3.11", "python3.12", "python3.13", "python3"):
        (checkout / "programs" / name).write_text("#!/bin/sh\nexit 1\n")
        (checkout / "programs" / name).chmod(0o755)
    none = attune(checkout, "demo", ATTUNE_PYTHON=str(python))
    assert none.returncode == 1
    assert "Python 3.11, 3.12 or 3.13 is needed" in none.stderr
    assert not (checkout / ".venv.lock").exists()


def test_two_at_once_install_once_and_a_lock_of_the_dead_is_taken(checkout: Path):
    outcomes: list[subprocess.CompletedProcess[str]] = []
    both = [threading.Thread(target=lambda: outcomes.append(attune(checkout, "demo"))) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert [one.returncode for one in outcomes] == [0, 0]
    assert len(pip_calls(checkout)) == 1
    (checkout / ".venv" / ".stamp").unlink()
    (checkout / ".venv.lock").mkdir()
    (checkout / ".venv.lock" / "pid").write_text("99999999")
    assert attune(checkout, "demo").returncode == 0


def test_help_names_every_command_and_an_unknown_one_is_refused(checkout: Path):
    shown = attune(checkout)
    assert shown.returncode == 0
    for command in ("demo", "serve", "test", "manage"):
        assert f"./attune {command}" in shown.stdout
    refused = attune(checkout, "dmo")
    assert refused.returncode == 1 and "There is no command 'dmo'." in refused.stderr


@pytest.mark.parametrize("script", ["attune", ".ci/run"])
def test_scripts_are_plain_sh_and_executable(script: str):
    assert os.access(ROOT / script, os.X_OK)
    text = (ROOT / script).read_text()
    assert text.startswith("#!/bin/sh\n") and "set -eu" in text
    checked = subprocess.run(["/bin/sh", "-n", str(ROOT / script)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
