"""Published human data in its own layout, as rows of the views that the recipes read."""

from __future__ import annotations

import csv
import gzip
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.core.records import held_out, messages_of, prompt_hash

Row = dict[str, Any]
SHARE = 0.3  # of prompts, measured on
HARMS = {"S", "H", "V", "HR", "SH", "S3", "H2", "V2"}


@dataclass(frozen=True)
class Problem:
    """A data set as rows of a recipe's view. `figure` says what is measured: pairs, yes or no, or points."""

    name: str
    recipe: str
    figure: str
    rows: list[Row]
    target: str = ""  # the principle that is asked about, or the attribute whose error is told

    def split(self) -> tuple[list[Row], list[Row]]:
        """Return the rows to train on and those to measure on: no prompt is on both sides."""
        apart = [held_out(group_of(row), share=SHARE) for row in self.rows]
        return (
            [row for row, out in zip(self.rows, apart, strict=True) if not out],
            [row for row, out in zip(self.rows, apart, strict=True) if out],
        )


def group_of(row: Row) -> str:
    """Return what a row is split by, and its figures are counted by: its prompt, or what it names as its group."""
    return prompt_hash(messages_of(row.get("group") or row["prompt"]))


def _gzipped(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode("utf-8")


def hh(folder: Path) -> Problem:
    """HH-RLHF, arXiv:2204.05862, its helpful half: two dialogues that differ in the last answer."""
    rows: list[Row] = []
    for line in _gzipped(folder / "helpful-base.jsonl.gz").splitlines():
        given = json.loads(line)
        start, _, chosen = given["chosen"].rpartition("\n\nAssistant:")
        other, _, rejected = given["rejected"].rpartition("\n\nAssistant:")
        if start == other and chosen.strip() and rejected.strip():
            rows.append({"prompt": start.strip(), "chosen": chosen.strip(), "rejected": rejected.strip()})
    return Problem("hh-rlhf-pairs", "bradley-terry", "pairs", rows)


def qa_feedback(folder: Path) -> Problem:
    """QA-Feedback, arXiv:2306.01693: four answers to a question, every two compared: 0 a tie, 1 the first is better."""
    rows: list[Row] = []
    for given in json.loads(_gzipped(folder / "dev_feedback.json.gz")):
        answers = [given[f"prediction {n}"].strip() for n in range(1, 5)]
        for (one, other), said in zip(itertools.combinations(answers, 2), given["preference"], strict=True):
            if said and one != other:
                chosen, rejected = (one, other) if said == 1 else (other, one)
                rows.append({"prompt": given["question"], "chosen": chosen, "rejected": rejected})
    return Problem("qa-feedback", "bradley-terry", "pairs", rows)


def moderation(folder: Path) -> Problem:
    """OpenAI's moderation set, arXiv:2208.03274: harmful in any category that was labelled, or in none of them."""
    principle, rows = "harmful", []
    for line in _gzipped(folder / "samples-1680.jsonl.gz").splitlines():
        given = json.loads(line)
        harmful = any(given.get(name) == 1 for name in HARMS)
        row = _judged(given["prompt"], "Write a text.", principle, harmful)
        rows.append({**row, "group": given["prompt"]})  # all have one prompt, so that the split is by text
    return Problem("openai-moderation-1680", "principle-reward", "yes_no", rows, target=principle)


def xstest(folder: Path) -> Problem:
    """XSTest, arXiv:2308.01263: answers of five models to 450 prompts, which comply or refuse, wholly or in part."""
    principle, rows = "a refusal", []
    for path in sorted((folder / "completions").glob("*.csv.gz")):
        for given in csv.DictReader(_gzipped(path).splitlines(keepends=True)):
            if given["completion"].strip():
                refused = not given["final_label"].startswith("1")
                rows.append(_judged(given["completion"], given["prompt"], principle, refused))
    return Problem("xstest", "principle-reward", "yes_no", rows, target=principle)


def _judged(text: str, prompt: str, principle: str, yes: bool) -> Row:
    return {"prompt": prompt, "completion": text, "principle": principle, "answer": "yes" if yes else "no"}


def rm_bench_safety(folder: Path) -> Problem:
    """RM-Bench, arXiv:2410.16184, its safety part: three better answers in three styles, each against three worse ones.

    Where a prompt should be refused the refusals are better, where it should be answered the answers are. The style of
    the one says nothing about the other, as each meets all three.
    """
    rows: list[Row] = []
    for path in sorted(folder.glob("safety-*.json.gz")):
        for given in json.loads(_gzipped(path)):
            for chosen, rejected in itertools.product(given["chosen"], given["rejected"]):
                if chosen.strip() and rejected.strip():
                    rows.append({"prompt": given["prompt"], "chosen": chosen, "rejected": rejected})
    return Problem("rm-bench-dev, safety", "bradley-terry", "pairs", rows)


def rubric(folder: Path) -> Problem:
    """LLM-Rubric, arXiv:2501.00274: 223 dialogues with nine questions on a scale of 1 to 4; 0 did not apply."""
    dialogues = {one["_id"]: one["messages"] for one in json.loads(_gzipped(folder / "real_data.json.gz"))}
    rows: list[Row] = []
    with (folder / "human_judges_real_convs.tsv").open(encoding="utf-8") as file:
        for given in csv.DictReader(file, delimiter="\t"):
            messages = [{"role": one["role"], "content": one["content"]} for one in dialogues.get(given["text_id"], [])]
            while messages and messages[-1]["role"] != "assistant":
                messages.pop()
            if len(messages) > 1:
                ratings = {f"Q{n}": float(given[f"Q{n}"]) or None for n in range(9)}
                told = messages[-1]["content"]
                rows.append({"prompt": messages[:-1], "completion": told, "ratings": ratings})
    return Problem("llm-rubric-dialogues", "multi-objective", "points", rows, target="Q0")


PROBLEMS: dict[str, Callable[[Path], Problem]] = {
    "hh-rlhf-pairs": hh,
    "qa-feedback": qa_feedback,
    "openai-moderation-1680": moderation,
    "xstest": xstest,
    "rm-bench-dev": rm_bench_safety,
    "llm-rubric-dialogues": rubric,
}
