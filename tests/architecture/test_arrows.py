"""Who may import whom: every import of every module, those inside functions included, against the forbidden arrows."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("annotation", "training", "frontend")
HEAVY = {"torch", "transformers", "peft", "accelerate", "numpy", "datasets", "trl", "scipy", "sklearn", "evalica"}
WEB = {"django", "celery", "rest_framework", "annotation", "frontend", "knox", "kombu", "redis", "psycopg"}
# Parts of `training` without Django; its exceptions are plain Python, so that core raises the same family.
PURE = ("training.core", "training.recipes", "training.errors")


@dataclass(frozen=True)
class Arrow:
    source: str  # the importing module
    target: str  # the imported module or name, dotted
    line: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line} imports {self.target}"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def arrows(source: str, module: str, *, is_package: bool = False) -> Iterator[Arrow]:
    """Yield an arrow for every import statement, however deep; `from a import b` points at `a.b`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Arrow(module, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                kept = parts[: len(parts) - node.level + (1 if is_package else 0)]
                base = ".".join([*kept, base]).strip(".")
            for alias in node.names:
                yield Arrow(module, f"{base}.{alias.name}", node.lineno)


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def top(name: str) -> str:
    return name.split(".")[0]


def core_is_pure(arrow: Arrow) -> bool:
    """1. `training.core` imports no web framework and no Django module of ours."""
    if not within(arrow.source, "training.core"):
        return True
    of_training = within(arrow.target, "training") and not within(arrow.target, *PURE)
    return top(arrow.target) not in WEB and not of_training


def recipes_are_stdlib(arrow: Arrow) -> bool:
    """2. `training.recipes` imports the standard library and itself; the exceptions that core shares do no more."""
    if not within(arrow.source, "training.recipes", "training.errors"):
        return True
    return within(arrow.target, "training.recipes") or top(arrow.target) in sys.stdlib_module_names


def annotation_is_lowest(arrow: Arrow) -> bool:
    """3. `annotation` imports neither `training` nor `frontend`."""
    return not within(arrow.source, "annotation") or not within(arrow.target, "training", "frontend")


def training_stays_below(arrow: Arrow) -> bool:
    """4. The Django side of `training` imports neither `frontend` nor `training.core`: it starts it as a process."""
    if not within(arrow.source, "training") or within(arrow.source, *PURE):
        return True
    return not within(arrow.target, "frontend", "training.core")


def only_core_is_heavy(arrow: Arrow) -> bool:
    """5. Nothing but `training.core` imports torch and its kind."""
    return within(arrow.source, "training.core") or top(arrow.target) not in HEAVY


def frontend_leaves_core_alone(arrow: Arrow) -> bool:
    """6. `frontend` does not import `training.core`."""
    return not within(arrow.source, "frontend") or not within(arrow.target, "training.core")


def layers_point_down(arrow: Arrow) -> bool:
    """7. Models import no service; services import no API, page, task or command; nobody imports the settings."""
    if within(arrow.target, "frontend.settings"):
        return False
    app, _, rest = arrow.source.partition(".")
    if within(rest, "models"):
        return not within(arrow.target, f"{app}.services", f"{app}.api", f"{app}.tasks", f"{app}.management")
    if within(rest, "services"):
        return not any(within(arrow.target, f"{name}.api", f"{name}.management") for name in PACKAGES)
    return True


RULES: list[Callable[[Arrow], bool]] = [
    core_is_pure,
    recipes_are_stdlib,
    annotation_is_lowest,
    training_stays_below,
    only_core_is_heavy,
    frontend_leaves_core_alone,
    layers_point_down,
]

PLANTED: dict[Callable[[Arrow], bool], list[tuple[str, str]]] = {
    core_is_pure: [
        ("training.core.run", "from django.conf import settings"),
        ("training.core.losses.dpo", "def f():\n    import annotation.models"),
        ("training.core.run", "from training.models import Run"),
        ("training.core.run", "from ..services import runs"),
    ],
    recipes_are_stdlib: [
        ("training.recipes.losses", "import numpy"),
        ("training.recipes.losses", "from training.core import stats"),
    ],
    annotation_is_lowest: [("annotation.services.queue", "def f():\n    from training.models import Run")],
    training_stays_below: [
        ("training.services.runs", "from frontend import stack"),
        ("training.services.runs", "if True:\n    from training.core.run import main"),
    ],
    only_core_is_heavy: [
        ("annotation.agreement", "import numpy as np"),
        ("training.tasks", "def f():\n    import torch"),
        ("frontend.views.runs", "from datasets import load_dataset"),
    ],
    frontend_leaves_core_alone: [("frontend.views.runs", "from training import core")],
    layers_point_down: [
        ("annotation.models.work", "from annotation.services import queue"),
        ("training.services.runs", "from annotation.api import serializers"),
        ("frontend.views.home", "from frontend.settings import DEBUG"),
        ("frontend.views.home", "from frontend import settings"),
    ],
}


@pytest.fixture(scope="module")
def all_arrows() -> list[Arrow]:
    found: list[Arrow] = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            found += arrows(path.read_text(), module_name(path), is_package=path.name == "__init__.py")
    assert len(found) > 300, "the walk found hardly any import: it looks in the wrong place"
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_no_arrow_is_forbidden_and_a_planted_one_is_caught(rule: Callable[[Arrow], bool], all_arrows: list[Arrow]):
    assert [str(arrow) for arrow in all_arrows if not rule(arrow)] == []
    for module, source in PLANTED[rule]:
        assert not all(rule(arrow) for arrow in arrows(source, module)), f"not caught: {source!r} in {module}"


def view_writes(source: str) -> list[int]:
    """Return the lines where something is created, saved or deleted through the ORM."""
    writes = {"create", "bulk_create", "get_or_create", "update_or_create", "save", "delete", "bulk_update"}
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in writes
        and _is_of_the_orm(node.func)
    ]


def _is_of_the_orm(function: ast.Attribute) -> bool:
    """Return whether a write is called on `….objects`, or on a row as in `user.save()`."""
    owner = function.value
    if isinstance(owner, ast.Attribute) and owner.attr == "objects":
        # Tokens are the rows of a library, and this is its interface.
        return not (isinstance(owner.value, ast.Name) and owner.value.id == "AuthToken")
    return isinstance(owner, ast.Name) and function.attr in ("save", "delete") and owner.id != "form"


def test_views_write_only_through_services_and_a_planted_write_is_caught():
    """The other half of rule 6: pages call services; a page that writes by itself escapes checks and audit."""
    offenders = {}
    for path in sorted((ROOT / "frontend" / "views").rglob("*.py")):
        if lines := view_writes(path.read_text()):
            offenders[path.name] = lines
    assert offenders == {}
    assert view_writes("def view(request):\n    Campaign.objects.create(name='x')\n    user.save()") == [2, 3]
    assert view_writes("def view(request):\n    campaigns.create(name='x')\n    form.save()") == []


def test_frontend_has_no_models():
    assert not (ROOT / "frontend" / "models.py").exists()
    assert not (ROOT / "frontend" / "migrations").exists()


# Who looks whether a folder that somebody names is here.
BY_PATH = {
    "training/paths.py",
    "training/store.py",
    "training/services/versions.py",
    "training/services/model_folders.py",
    "training/services/placements.py",  # how large it is, where it lies here; a web request brings no model
}


def test_stored_files_are_read_and_written_by_the_store() -> None:
    """A path that is made absolute, or a file of a run that is read, by hand is not there on another machine."""
    by_hand = re.compile(r"paths\.resolve\(|run_folder\([^()]*(\([^()]*\))?[^()]*\) / (?!\"checkpoints\")")
    found = {
        f"{path.relative_to(ROOT)}:{number}"
        for package in ("training", "frontend")
        for path in (ROOT / package).rglob("*.py")
        if not path.is_relative_to(ROOT / "training" / "core") and str(path.relative_to(ROOT)) not in BY_PATH
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if by_hand.search(line)
    }
    assert found == set(), "use training.store: fetch, run_file, exists or keep"
