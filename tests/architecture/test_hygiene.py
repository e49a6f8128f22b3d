"""What must not stand in any committed file: places of one machine, hosts of package registries, unfinished marks."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = {".gz", ".png", ".jpg", ".woff2", ".safetensors", ".ico"}

# Written so that this file does not contain what it looks for.
MACHINE_PATHS = re.compile(
    r"/(?:wor[k]/(?:main|shared)|hom[e]/\w+/|User[s]/\w+/|farm[/]|roo[t]/\.|tm[p]/bash)|\.librar[y]/"
)
REGISTRIES = re.compile(
    r"pypi[.]org|pythonhosted[.]org|registry[.]npmjs|download[.]pytorch[.]org|conda[.]anaconda|proxy[.]golang", re.I
)
UNFINISHED = re.compile(r"\b(?:TOD[O]|FIXM[E]|XX[X])\b|raise NotImplementedErro[r]|not implemented ye[t]")


def committed_texts() -> dict[str, str]:
    """Return the text of every file that git knows or would take; binary files and licences of others are left out."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    assert listed.returncode == 0, "these tests read the list of files from git"
    names = [name for name in listed.stdout.splitlines() if Path(name).suffix not in BINARY]
    return {name: (ROOT / name).read_text(errors="replace") for name in names if (ROOT / name).is_file()}


TOP = {
    *(".ci", ".gitignore", "annotation", "attune", "CHANGELOG.md", "constraints.txt", "docker", "frontend", "LICENSE"),
    *("manage.py", "pyproject.toml", "README.md", "SECURITY.md", "tests", "training"),
}


def test_nothing_else_lies_at_the_top():
    assert {name.partition("/")[0] for name in committed_texts()} == TOP, "a log, a note or a package of its own?"


def findings(pattern: re.Pattern[str], texts: dict[str, str]) -> list[str]:
    return [
        f"{name}:{text[: match.start()].count(chr(10)) + 1}: {match.group()}"
        for name, text in texts.items()
        for match in pattern.finditer(text)
    ]


def test_no_place_of_one_machine():
    texts = committed_texts()
    assert len(texts) > 100
    assert findings(MACHINE_PATHS, texts) == []
    assert findings(MACHINE_PATHS, {"planted": "see /wor" + "k/main/x"}) == ["planted:1: /wor" + "k/main"]


def test_no_host_of_a_package_registry():
    assert findings(REGISTRIES, committed_texts()) == []
    assert findings(REGISTRIES, {"planted": "\nfiles.python" + "hosted.org"}) == ["planted:2: python" + "hosted.org"]


def test_nothing_is_marked_unfinished():
    code = {name: text for name, text in committed_texts().items() if name.endswith((".py", ".html", ".js", ".css"))}
    assert findings(UNFINISHED, code) == []
    assert findings(UNFINISHED, {"planted": "# TOD" + "O: later"}) == ["planted:1: TOD" + "O"]


def test_every_dependency_is_pinned():
    """constraints.txt pins one version of everything, so that two installs a month apart are the same.

    But of vLLM, which needs a GPU and an older numpy, and is installed without that file.
    """
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin) for pin in pins)
    names = {re.split("==", pin)[0].lower().replace("_", "-").replace(".", "-") for pin in pins}
    assert len(names) == len(pins)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    wanted = {re.split(r"[^A-Za-z0-9-]", line)[0].lower() for line in required} - {"attune", "vllm"}
    assert wanted - names == set()
