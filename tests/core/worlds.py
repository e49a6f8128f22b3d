"""Small data and tiny models for the core's tests: made here, no network."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from tests.core.lab_safety import lab_rows, scenario_rows
from training.core.tiny import save_tiny
from training.recipes import recipe
from training.recipes.spec import RunSpec

WORDS = ["the", "sun", "moon", "sea", "wind", "tree", "bird", "stone", "river", "light", "road", "hill"]


def sentence(draw: random.Random, *, low: int = 2, high: int = 9) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(draw.randint(low, high)))


def pair_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Pairs whose chosen completion says thanks: a preference that a tiny model learns in a few steps."""
    draw = random.Random(seed)
    return [
        {
            "prompt": [{"role": "user", "content": f"{sentence(draw)} {number}"}],
            "chosen": [{"role": "assistant", "content": f"thanks {sentence(draw)}"}],
            "rejected": [{"role": "assistant", "content": sentence(draw)}],
            "strength": draw.choice([1 / 3, 2 / 3, 1.0]),
            "position": number % 2,
            "annotator": f"person {number % 3}",
            "traces": [
                {"text": "<think>thanks</think><answer>A</answer>", "first": "chosen"},
                {"text": "<think>no</think><answer>A</answer>", "first": "rejected"},
            ],
        }
        for number in range(count)
    ]


def demonstration_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    return [
        {"prompt": row["prompt"], "completion": row["chosen"], "samples": [row["rejected"][0]["content"], "no"]}
        for row in pair_rows(count, seed=seed)
    ]


def document_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Texts of two sentences."""
    draw = random.Random(seed)
    return [{"text": f"{sentence(draw)} {sentence(draw)} {number}"} for number in range(count)]


def safer_pair_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Pairs whose safer answer says thanks; every third has two unsafe answers, the safer one less severe."""
    rows = []
    for number, row in enumerate(pair_rows(count, seed=seed)):
        both = number % 3 == 0
        labels = {"chosen_is_safe": not both, "rejected_is_safe": False}
        rows.append({**row, **labels, "chosen_severity": int(both), "rejected_severity": 3})
    return rows


def safety_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Answers that people called safe, those that say thanks, or unsafe."""
    return [
        {"prompt": row["prompt"], "completion": row["rejected" if n % 2 else "chosen"], "is_safe": n % 2 == 0}
        for n, row in enumerate(pair_rows(count, seed=seed))
    ]


def rating_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Ratings of two attributes, each missing in a third of the rows: thanks make it kind, words make it long.

    Each prompt has two rated answers.
    """
    rows: list[dict[str, Any]] = []
    for number, row in enumerate(pair_rows(count, seed=seed)):
        row |= {"prompt": rows[-1]["prompt"]} if number % 2 else {}
        text = row["chosen" if number % 2 else "rejected"]
        kind, size = 4.0 * (number % 2), min(len(text[0]["content"].split()) / 2, 4.0)
        ratings = {"kind": None if number % 3 == 0 else kind, "long": None if number % 3 == 1 else size}
        rows.append({"prompt": row["prompt"], "completion": text, "ratings": ratings})
    return rows


def principle_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Judgements of two principles in turn: politeness, which thanks show, and its absence."""
    rows = []
    for number, row in enumerate(pair_rows(count, seed=seed)):
        polite, positive = number % 2 == 0, number % 4 < 2
        rows.append(
            {
                "prompt": row["prompt"],
                "completion": row["chosen" if polite else "rejected"],
                "principle": "politeness" if positive else "no politeness",
                "statement": None,
                "answer": "yes" if polite == positive else "no",
                "annotator": "a",
            }
        )
    return rows


def critique_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Critiques with points: thanks get a 5, their lack a 2. Each prompt has two criticised answers."""
    rows: list[dict[str, Any]] = []
    for pair in pair_rows((count + 1) // 2, seed=seed):
        for side, score, said in (("chosen", 5, "kind"), ("rejected", 2, "cold")):
            rows.append({"prompt": pair["prompt"], "completion": pair[side], "critique": said, "score": score})
    return [{**row, "annotator": "a"} for row in rows[:count]]


def people_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """People of whom every other one prefers thanks and the others do not: three choices to know them by, two more."""
    rows = []
    for number in range(count):
        pairs = pair_rows(5, seed=seed * 1000 + number)
        for place, pair in enumerate(pairs):
            pair |= {"prompt": f"{pair['prompt'][0]['content']} {place}"}
            if number % 2:
                pair |= {"chosen": pair["rejected"], "rejected": pair["chosen"]}
        rows.append({"annotator": f"person {number}", "context": pairs[:3], "target": pairs[3:]})
    return rows


def prompt_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    return [{"id": str(i), "prompt": row["prompt"]} for i, row in enumerate(pair_rows(count, seed=seed))]


def answer_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """One prompt with `count` answers, as the reward explorer reads them."""
    rows = pair_rows(count, seed=seed)
    return [{"prompt": rows[0]["prompt"], "completions": [row["chosen"][0]["content"] for row in rows]}]


def outcome_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Answers of which those that say thanks are worth 0.9 and the others 0.2."""
    return [
        {"prompt": row["prompt"], "completion": row["rejected" if number % 2 else "chosen"], "reward": reward}
        for number, row in enumerate(pair_rows(count, seed=seed))
        for reward in [0.2 if number % 2 else 0.9]
    ]


def ranking_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Orders of two to four answers: those that say thanks are best, the others are called equal."""
    draw = random.Random(seed)
    rows = []
    for number, row in enumerate(pair_rows(count, seed=seed)):
        texts = [row["chosen"][0]["content"]]
        texts += [f"{sentence(draw)} {other}" for other in range(1 + number % 3)]
        ranked = list(zip(texts, [1] + [2] * (len(texts) - 1), strict=True))
        draw.shuffle(ranked)
        completions = [{"text": text, "origin": "a"} for text, _ in ranked]
        rows.append({"prompt": row["prompt"], "completions": completions, "ranks": [rank for _, rank in ranked]})
    return rows


ROWS = {
    "rankings": ranking_rows,
    "outcomes": outcome_rows,
    "answers": answer_rows,
    "pairs": pair_rows,
    "safer_pairs": safer_pair_rows,
    "safety": safety_rows,
    "ratings": rating_rows,
    "principles": principle_rows,
    "people": people_rows,
    "critiques": critique_rows,
    "demonstrations": demonstration_rows,
    "documents": document_rows,
    "prompts": prompt_rows,
    "suite": lab_rows,
    "scenarios": scenario_rows,
}


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def make_spec(
    folder: Path, name: str, *, model: Path, rows: list[dict[str, Any]] | None = None, **more: Any
) -> RunSpec:
    """Return the spec of a run in `folder`, written; keyword arguments that are knobs go into the recipe."""
    found = recipe(name)
    knobs = {k.name: more.pop(k.name) for k in found.knobs() if k.name in more}
    folder.mkdir(parents=True, exist_ok=True)
    data = write_lines(folder / "data.jsonl", ROWS[found.view](23) if rows is None else rows)
    spec = RunSpec(
        kind=found.kind,
        recipe=found.to_json(knobs),
        output=str(folder),
        model=str(model),
        data=str(data),
        **more,
    )
    spec.write()
    return spec


def stands_on(name: str) -> str:
    """Return the recipe whose model a recipe needs to start from; empty where any model will do."""
    head = recipe(name).part("head")
    return head.stands_on if head is not None else ""


def tiny_policy(folder: Path) -> Path:
    return save_tiny(folder)
