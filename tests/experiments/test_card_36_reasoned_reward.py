"""Cards 36 and 34: a judge that thinks aloud is the reward, and what a policy learns from its verdicts by gold.

The card has no figure for this; the bound is of a first run. Not shown here is that the thought is what makes the
verdicts good: a judge that learned the same verdicts with empty thoughts was as often right in this world (0.88 on seed
0, with thoughts 0.83), and its policy became as good. And the policy is held near its start: at a KL weight of 0.05 it
leaves the answers that a judge has learned to read, and the other judge's policy gains as much.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.experiments.frame import Card
from tests.experiments.test_card_36_judge import GOOD, PLAIN, SHOWY, asked, pair, right_of
from tests.experiments.world import KINDS, do, lively

CARD = Card(
    36,
    "Policy by a judge that reasons (Think-RM)",
    "Verdicts that a judge thinks out are all that a policy is rewarded by, and its answers become those that people "
    "want. A judge that thinks as well, but imitates whatever it was shown and not what came to people's verdicts, "
    "makes them showy.",
    "arXiv:2505.16265",
)
SEEDS = (0, 1)
PAIRS, STEPS, ITERATIONS = 2000, 400, 40
ANSWERS = [f"{style} {word}" for style in (SHOWY, PLAIN) for kind in KINDS for word in KINDS[kind]]
QUICK = {"eval_share": 0.0, "learning_rate": 1e-3, "batch_size": 16, "micro_batch": 16}

pytestmark = pytest.mark.experiment


def good(text: str) -> bool:
    """Return whether people want the answer: its last word is of a good kind, whatever its style."""
    return text.split()[-1:] != [] and any(text.split()[-1] in KINDS[kind] for kind in GOOD)


def as_traced(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return each trace of a pair as if what it came to had been people's verdict."""
    told = []
    for trace in row["traces"]:
        first, other = (trace["first"], "rejected" if trace["first"] == "chosen" else "chosen")
        taken, left = (first, other) if trace["text"].endswith("<answer>A</answer>") else (other, first)
        own = {"text": trace["text"], "first": "chosen" if trace["first"] == taken else "rejected"}
        told.append({"prompt": row["prompt"], "chosen": row[taken], "rejected": row[left], "traces": [own]})
    return told


def made(folder: Path, seed: int, *, by_people: bool) -> tuple[Path, Path, float]:
    """Return a policy that gives every answer as often, a judge, and how often the judge is right.

    The judge learned from the traces that came to what people said, or from all of them.
    """
    draw = random.Random(seed)
    rows, fresh = [pair(draw) for _ in range(PAIRS)], [pair(draw) for _ in range(40)]
    learned = rows if by_people else [one for row in rows for one in as_traced(row)]
    sentences = [asked(fresh[0], True)[0]["content"], fresh[0]["traces"][0]["text"]]
    base = lively(folder / "base", texts=[part for text in sentences for part in text.split("\n\n")], seed=seed)
    judge, _ = do(folder / "judge", "reasoning-judge", model=base, rows=learned, max_steps=STEPS, epochs=20, **QUICK)
    shown = [{"prompt": "one", "completion": text} for text in ANSWERS]
    policy, _ = do(folder / "policy", "sft", model=base, rows=shown, epochs=40, **QUICK)
    judge_at = Path(judge.output) / "model"
    return Path(policy.output) / "model", judge_at, right_of(str(judge_at), fresh, longest=16)


def share(folder: Path, policy: Path) -> float:
    """Return which share of the policy's answers people want."""
    more: dict[str, Any] = {"samples_per_prompt": 64, "max_new_tokens": 4}
    spec, result = do(folder, "sample", model=policy, rows=[{"id": "one", "prompt": "one"}], seed=1, **more)
    (row,) = [json.loads(line) for line in (Path(spec.output) / result.files["samples"]).read_text().splitlines()]
    texts = [one["text"] for one in row["completions"]]
    return sum(map(good, texts)) / len(texts)


def improved(folder: Path, seed: int, *, by_people: bool = True) -> tuple[float, float, float]:
    """Return the judge's accuracy, and the share of wanted answers before and after GRPO by its verdicts alone."""
    policy, judge, right = made(folder, seed, by_people=by_people)
    spec, _ = do(
        folder / "grpo",
        "grpo-pairwise",
        model=policy,
        rows=[{"id": "one", "prompt": "one"}],
        scorers={"reward": str(judge)},
        iterations=ITERATIONS,
        prompts_per_iteration=1,
        samples_per_prompt=16,
        judge_max_new_tokens=16,
        judge_temperature=0.0,
        max_new_tokens=4,
        kl_weight=0.3,
        rows_at_once=64,
        seed=seed,
        **QUICK,
    )
    found = right, share(folder / "before", policy), share(folder / "after", Path(spec.output) / "model")
    print(found, flush=True)
    return found


def test_a_policy_learns_what_people_want_from_thought_out_verdicts_alone(report, tmp_path):
    found = [improved(tmp_path / f"{seed}", seed) for seed in SEEDS]
    imitating = improved(tmp_path / "imitating", SEEDS[0], by_people=False)
    report(
        CARD,
        "share of answers that people want, above that of the start",
        [after - before for _, before, after in found],
        seeds=SEEDS,
        switched_off="people's verdicts: the judge imitated every trace of the same pairs",
        without=imitating[2] - imitating[1],
        at_least=0.15,
        every_seed=True,
    )
