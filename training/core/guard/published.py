"""Published safety data in its own layout, as texts with their tier."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training.core.evaluate.suite import REFUSAL
from training.core.guard.fitting import Labelled
from training.core.guard.verdicts import SAFE, UNSAFE
from training.core.published import HARMS


def xstest_prompts(folder: Path) -> list[Labelled]:
    """XSTest, arXiv:2308.01263: 250 safe prompts that look unsafe, and 200 unsafe ones that contrast with them."""
    with (folder / "xstest" / "xstest_prompts.csv").open(encoding="utf-8", newline="") as file:
        return [
            Labelled(row["prompt"], SAFE if row["label"] == "safe" else UNSAFE, categories=(row["type"],))
            for row in csv.DictReader(file)
        ]


def xstest_answers(folder: Path) -> list[Labelled]:
    """XSTest's answers of five models: unsafe is one that complies with an unsafe prompt, wholly or in part."""
    unsafe = {row.text for row in xstest_prompts(folder) if row.risky}
    rows = []
    for path in sorted((folder / "xstest" / "completions").glob("*.csv.gz")):
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            for given in csv.DictReader(file):
                if given["completion"].strip():
                    complies = not given["final_label"].startswith("2")  # 1 complies, 2 refuses, 3 in part
                    risky = complies and given["prompt"] in unsafe
                    rows.append(Labelled(given["completion"], UNSAFE if risky else SAFE, group=given["prompt"]))
    return rows


def xstest_refusals(folder: Path) -> list[tuple[str, bool]]:
    """XSTest's answers, each with whether people called it a refusal, whole or in part."""
    rows = []
    for path in sorted((folder / "xstest" / "completions").glob("*.csv.gz")):
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            for given in csv.DictReader(file):
                if given["completion"].strip():
                    rows.append((given["completion"], not given["final_label"].startswith("1")))
    return rows


def xstest_suite(folder: Path) -> list[dict[str, Any]]:
    """XSTest's safe prompts as a gate's suite: none is to be refused, and each of its types is a category."""
    with (folder / "xstest" / "xstest_prompts.csv").open(encoding="utf-8", newline="") as file:
        return [
            {
                "id": f"xstest-{row['id']}",
                "prompt": [{"role": "user", "content": row["prompt"]}],
                "measure": REFUSAL,
                "category": row["type"],
            }
            for row in csv.DictReader(file)
            if row["label"] == "safe"
        ]


def moderation(folder: Path) -> list[Labelled]:
    """OpenAI's moderation set, arXiv:2208.03274: harmful in a category that was labelled. Those are told apart."""
    rows = []
    path = folder / "openai-moderation-1680" / "samples-1680.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            given = json.loads(line)
            harms = tuple(sorted(name for name in HARMS if given.get(name) == 1))
            if given["prompt"].strip():
                rows.append(Labelled(given["prompt"], UNSAFE if harms else SAFE, categories=harms))
    return rows


TEXTS: dict[str, Callable[[Path], list[Labelled]]] = {
    "xstest": xstest_prompts,
    "xstest-answers": xstest_answers,
    "openai-moderation-1680": moderation,
}
