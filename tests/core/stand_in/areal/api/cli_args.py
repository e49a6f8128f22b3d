"""Reads a configuration as AReaL 1.0.4 does: a name that its schema does not have is refused."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

NAMES = Path(__file__).parents[3] / "golden" / "areal_names.txt"


class GRPOConfig(dict):
    """The settings; what is read by attribute of the real one is read so of this."""

    def __getattr__(self, name: str) -> Any:
        value = self[name]
        return GRPOConfig(value) if isinstance(value, dict) else value


def load_expr_config(argv: list[str], config_cls: type) -> tuple[Any, str]:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", required=True)
    told = parser.parse_args(argv)
    tree = yaml.safe_load(Path(told.config).read_text())
    known = set(NAMES.read_text().split())

    def check(branch: dict, path: str) -> None:
        for name, value in branch.items():
            full = f"{path}{name}"
            if isinstance(value, dict):
                check(value, f"{full}.")
            elif full not in known and not any(one.startswith(f"{full}.") for one in known):
                raise KeyError(f"Key {full} not in {config_cls.__name__}")

    check(tree, "")
    return config_cls(tree), told.config
