"""Ask the real engines what they make of our files, and keep it: ``python -m tests.engines --verl PYTHON``.

PYTHON is an interpreter of an environment with verl 0.9.1 or AReaL 1.0.4; no GPU is needed. What they say lies in
``tests/core/golden/*_said.json``, with their version, and CI holds what we compile, write and read to it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from training.core.engine_programs import AREAL, VERL, Program
from training.core.prompts import Prompt
from training.core.reward_server import rewards
from training.core.tiny import save_tiny
from training.recipes import RECIPES, RecipeError
from training.recipes.assembled import has_slots
from training.recipes.engines import Files, areal, compiler, verl

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "core" / "golden"
FREE_VALUES = {str: "vllm", int: 2, float: 0.5, bool: True}


class Lengths:
    """Gives an answer as many points as it has characters."""

    def score(self, prompts: Any, texts: list[str], *, ids: Any = None) -> list[float | None]:
        return [float(len(text)) for text in texts]


def compiled(engine: str, files: Files) -> dict[str, dict[str, Any]]:
    """Return the settings of each recipe that the engine does, at our defaults but what it must be told otherwise."""
    found = {}
    for recipe in RECIPES.values():
        if not has_slots(recipe):
            continue
        changes = {"batch_size": 32 * recipe.fill()["samples_per_prompt"]}
        if engine == "areal" and recipe.name == "grpo":
            changes["kl_weight"] = 0.0
        try:
            found[recipe.name] = compiler(engine)(recipe, recipe.fill(changes), files, seed=7)
        except RecipeError:
            continue
    return found


def asked_of_verl(files: Files) -> dict[str, Any]:
    recipes = compiled("verl", files)
    return {
        "recipes": {name: {"arguments": verl.arguments(told), "told": sorted(told)} for name, told in recipes.items()},
        "metrics": sorted(verl.METRICS),
        "free": {name: FREE_VALUES[kind] for name, kind in verl.FREE.items()},
    }


def asked_of_areal(files: Files) -> dict[str, Any]:
    recipes = compiled("areal", files)
    return {
        "recipes": {name: {"tree": areal.nested(told), "told": sorted(told)} for name, told in recipes.items()},
        "allocations": ["sglang[rollout]:d4t2+fsdp[actor]:d8", "vllm[rollout]:d2t2|megatron[actor]:d1p2t2"],
        "backends": ["sglang:d4t2", "fsdp:d8", "vllm:d2t2", "megatron:d1p2t2"],
        "words": sorted(
            {name.split("/")[-2] if name.endswith("/avg") else name.split("/")[-1] for name in areal.METRICS}
        ),
    }


ASKED = {"verl": asked_of_verl, "areal": asked_of_areal}


def ask(engine: Program, python: str, folder: Path) -> dict[str, Any]:
    """Return what the engine in the environment of `python` says of a folder that is written for it as for a run."""
    here = folder / engine.name
    here.mkdir()
    files = Files(
        model=str(save_tiny(folder / "model")),
        data=str(here / engine.prompts),
        reward=str(here / "reward.py"),
        checkpoints=str(here / "checkpoints"),
    )
    messages = [{"role": "user", "content": "How warm must it be?"}]
    prompts = [Prompt(id=f"q{n}", messages=messages, ids=[1]) for n in range(3)]
    settings = compiled(engine.name, files)
    engine.write(here, prompts, settings["grpo"])
    (here / "asked.json").write_text(json.dumps(ASKED[engine.name](files)))
    environment = {**os.environ, "VERL_FILE_LOGGER_PATH": str(here / "figures.jsonl"), "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    with rewards(Lengths(), here / "address.json", written=lambda ids: "x" * len(ids)):
        told = subprocess.run(
            [python, str(HERE / f"{engine.name}_says.py"), "asked.json"],
            cwd=here,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            check=True,
        )
    said: dict[str, Any] = json.loads(told.stdout.splitlines()[-1].replace(str(folder), "/run"))
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verl", metavar="PYTHON")
    parser.add_argument("--areal", metavar="PYTHON")
    told = parser.parse_args()
    for engine, python in ((VERL, told.verl), (AREAL, told.areal)):
        if python is None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            said = ask(engine, python, Path(folder))
        text = json.dumps(said, indent=1, sort_keys=True, ensure_ascii=False)
        (GOLDEN / f"{engine.name}_said.json").write_text(text + "\n")
        print(f"{engine.title} {said['version']} was asked.")


if __name__ == "__main__":
    main()
