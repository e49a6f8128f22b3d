"""Experiments replace a function of ours here and there; no type check sees that what they name is gone."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

EXPERIMENTS = sorted((Path(__file__).parents[1] / "experiments").glob("test_card_*.py"))


def replaced(source: str) -> list[tuple[str, str, str]]:
    """Return (module, name in it, attribute) of each `patch.setattr(name, "attribute", …)`."""
    tree = ast.parse(source)
    origin = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    return [
        (*origin[node.args[0].id], node.args[1].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setattr"
        if isinstance(node.args[0], ast.Name) and isinstance(node.args[1], ast.Constant)
    ]


FOUND = [(path.stem, *one) for path in EXPERIMENTS for one in replaced(path.read_text())]


def test_replacements_are_found():
    source = "from a.b import c as d\npatch.setattr(d, 'e', 1)\n"
    assert replaced(source) == [("a.b", "c", "e")] and len(FOUND) >= 4


@pytest.mark.parametrize(("experiment", "module", "name", "attribute"), FOUND)
def test_what_an_experiment_replaces_is_there(experiment, module, name, attribute):
    try:
        owner = import_module(f"{module}.{name}")
    except ModuleNotFoundError:
        owner = getattr(import_module(module), name)
    assert hasattr(owner, attribute), f"{experiment} replaces what is not there."
