"""A stand-in for the training core in tests of rounds: samples, fits and compares by simple rules, in milliseconds.

A model is a folder with ``style.txt``; a policy answers every prompt with its style and a number. ``--fail RECIPE``
makes that recipe explain a failure; ``--same`` makes every answer the same, ``--same-dialogues`` lets no dialogue come
out better than its other side; ``--kl X`` sets the divergence and ``--cost X`` about what the candidate's answers cost.
``--bad-at C`` makes it wrong in a category of a suite.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import time
from dataclasses import asdict
from pathlib import Path

from training.core.evaluate.certificate import certify
from training.core.evaluate.suite import categories_of, figures
from training.core.selection import IMPLIED, REWARD, doubted, doubts, labelled
from training.recipes.spec import RunResult, RunSpec, write_json, write_text
from training.recipes.users_file import PREFIX, USERS_FILE


def rows(path: str | None) -> list[dict]:
    assert path is not None
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def style(path: str | None) -> str:
    assert path is not None
    file = Path(path) / "style.txt"
    return file.read_text() if file.exists() else "plain"


def lines(path: Path, found: list[dict]) -> None:
    write_text(path, "".join(json.dumps(row) + "\n" for row in found))


def know(folder: Path, people: list[str]) -> None:
    """Write the file by which a policy knows its users, each of them one number."""
    told = {
        PREFIX + name: {"dtype": "F32", "shape": [1], "data_offsets": [4 * n, 4 * n + 4]}
        for n, name in enumerate(people)
    }
    header = json.dumps(told).encode()
    (folder / USERS_FILE).write_bytes(struct.pack("<Q", len(header)) + header + bytes(4 * len(people)))


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--fail", default="")
    arguments.add_argument("--same", action="store_true")
    arguments.add_argument("--same-dialogues", action="store_true")
    arguments.add_argument("--kl", type=float, default=5.0)
    arguments.add_argument("--cost", type=float, default=-1.0)
    arguments.add_argument("--bad-at", default="")
    arguments.add_argument("spec")
    given = arguments.parse_args()
    spec = RunSpec.read(given.spec)
    folder = Path(spec.output)
    name, knobs = spec.recipe["name"], spec.recipe["knobs"]
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 1, "total_steps": 1, "time": time.time()}) + "\n")
    if name == given.fail:
        write_json(folder / "error.json", {"message": f"The toy refuses {name}."})
        return 1
    if name == "sample":
        found = []
        for place, row in enumerate(rows(spec.data)):
            whose = {"user": row["user"]} if "user" in row else {}
            told = f"{row['id']}{' for ' + row['user'] if whose else ''}"
            texts = [f"{style(spec.model)} answer {n} to {told}" for n in range(knobs["samples_per_prompt"])]
            if given.same:
                texts = texts[:1] * len(texts)
            answers = [
                {"text": text, "logp": -1.0 - n, "tokens": 5, "ended": True, "scores": dict.fromkeys(spec.scorers, n)}
                for n, text in enumerate(texts)
            ]
            found.append(
                {
                    "id": row["id"],
                    "prompt": row["prompt"],
                    **whose,
                    "completions": answers,
                    "pair": None if given.same else [1, 0],
                    "audit": knobs["audit_share"] > 0 and place % 5 == 0,
                    "asked": place % 5 == 0 or place % 2 == 0 or knobs["asked_share"] == 1.0,
                    "selection": knobs["selection"] if spec.scorers else "random",
                }
            )
        lines(folder / "samples.jsonl", found)
        files, counts = {"samples": "samples.jsonl"}, {"prompts": len(found)}
        if knobs["labeller"] != "human":
            by = IMPLIED if knobs["labeller"] == "implicit" else REWARD
            below = knobs["doubtful_below"]
            found = doubted(found, share=knobs["doubtful_share"], below=below, by=by)
            lines(folder / "samples.jsonl", found)
            pairs = labelled(found, by=by)
            lines(folder / "pairs.jsonl", pairs)
            files |= {"pairs": "pairs.jsonl"}
            counts |= {"labelled": len(pairs), **doubts(found, below=below)}
        RunResult(files=files, counts=counts).write(folder)
    elif name == "refuel-rollouts":
        asked, scored = rows(spec.data), "reward" in spec.scorers
        assert scored, "nobody says how a dialogue comes out"
        user = style(spec.beside["simulator"]) if spec.beside else "plain"
        found = [
            {
                "id": f"{row['id']}/1",
                "prompt": [
                    *row["prompt"],
                    {"role": "assistant", "content": f"{style(spec.model)} asks back"},
                    {"role": "user", "content": f"{user} says more"},
                ],
                "chosen": [{"role": "assistant", "content": "good"}],
                "rejected": [{"role": "assistant", "content": "bad"}],
                "strength": 0.8,
                "turn": 2,
                "turns": knobs["turns"],
            }
            for row in asked[: 0 if given.same_dialogues else None]
        ]
        lines(folder / "pairs.jsonl", found)
        RunResult(files={"pairs": "pairs.jsonl"}, counts={"pairs": len(found)}).write(folder)
    elif name == "compare":
        found = [
            {
                "id": row["id"],
                "prompt": row["prompt"],
                **({"user": row["user"]} if "user" in row else {}),
                "candidate": {"text": f"{style(spec.model)} reply to {row['id']}"},
                "current": {"text": f"{style(spec.reference)} reply to {row['id']}"},
                "reward_preference": 0.7,
                "fresh": row["fresh"],
                "kl": given.kl,
                "candidate_costs": [given.cost + 0.1 * (place % 3)] if "cost" in spec.scorers else None,
            }
            for place, row in enumerate(rows(spec.data))
        ]
        lines(folder / "comparisons.jsonl", found)
        files = {"comparisons": "comparisons.jsonl"}
        n = len(found)
        metrics: dict = {"kl": {"estimate": given.kl, "low": given.kl - 1, "high": given.kl + 1, "n": n}}
        if "cost" in spec.scorers:
            costs = [row["candidate_costs"][0] for row in found if row["fresh"]]
            told = certify(costs, bound=knobs["bound"], delta=knobs["delta"], limit=knobs["cost_limit"])
            metrics["safety"] = {**asdict(told), "passed": told.passed, "reused": n - len(costs)}
        if spec.suite:
            asked = [row for row in rows(spec.suite) if not row.get("unsupported")]
            told = [{**row, "candidate": given.bad_at not in categories_of(row), "current": True} for row in asked]
            lines(folder / "suite.jsonl", told)
            files["suite"] = "suite.jsonl"
            metrics["suite"] = {**figures(told, confidence=0.95), "left_out": 0, "silent": []}
        if spec.scorers:
            metrics["reward_win_rate"] = {"estimate": 0.7, "low": 0.6, "high": 0.8, "n": n}
        RunResult(files=files, metrics=metrics).write(folder)
    else:
        read = rows(spec.data)
        assert read, "no rows to learn from"
        write_text(folder / "model" / "style.txt", f"{style(spec.model)}+{name}")
        if name == "dpo-personal":
            know(folder / "model", sorted({row["annotator"] for row in read}))
        RunResult(model="model", metrics={"rows": len(read)}).write(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
