"""Card 36: what the thought itself gives a judge whose verdict takes several steps.

People prefer the answer with an even number of marks. A judge that has learned to keep count, mark by mark, before it
names the better answer is right about pairs that it has not seen; one that learned the same verdicts, of the same pairs
and in as many steps, but has to name the answer at once, guesses.

This is no gain over a scalar reward model: one that learned from the same pairs for as many steps put all of 60 new
ones right (seed 0). It has one answer to read, of which there are 64, and has met each of them.
"""

from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path

import pytest

from tests.experiments.frame import Card
from tests.experiments.test_card_36_judge import asked, right_of
from tests.experiments.world import do, lively

CARD = Card(
    36,
    "Judge that reasons (Think-RM), what the thought gives",
    "Where a verdict takes several steps, a judge that writes them down is right, and one that learned the same "
    "verdicts without them guesses.",
    "arXiv:2505.16265",
)
SEEDS = (0, 1)
MARK, NONE = "very", "some"
EVEN, ODD = "near", "old"
PLACES, PAIRS, FRESH, STEPS = 6, 2000, 60, 500
QUICK = {
    "batch_size": 16,
    "micro_batch": 16,
    "learning_rate": 2e-3,
    "eval_share": 0.0,
    "max_steps": STEPS,
    "epochs": 20,
}

pytestmark = pytest.mark.experiment


def marks(draw: random.Random, *, even: bool) -> list[str]:
    """Return an answer: places with a mark or none, of which an even or odd number are marks."""
    words = [draw.choice((MARK, NONE)) for _ in range(PLACES - 1)]
    return [*words, MARK if (words.count(MARK) % 2 == 0) != even else NONE]


def counted(words: list[str]) -> str:
    """Return the thought about an answer: at each place, whether the marks so far are even or odd."""
    return " ".join(ODD if words[: place + 1].count(MARK) % 2 else EVEN for place in range(PLACES))


def pair(draw: random.Random) -> dict:
    """Return a pair with a trace for each order, in which the marks of the answer that stands first are counted."""
    good, bad = marks(draw, even=True), marks(draw, even=False)
    traces = [
        {"text": f"<think>{counted(first)}</think><answer>{name}</answer>", "first": side}
        for first, name, side in ((good, "A", "chosen"), (bad, "B", "rejected"))
    ]
    return {"prompt": "one", "chosen": " ".join(good), "rejected": " ".join(bad), "traces": traces}


@lru_cache
def data(seed: int) -> tuple[list[dict], list[dict]]:
    draw = random.Random(f"thought {seed}")
    rows = [pair(draw) for _ in range(PAIRS)]
    seen, fresh = {(row["chosen"], row["rejected"]) for row in rows}, []
    while len(fresh) < FRESH:
        if ((row := pair(draw))["chosen"], row["rejected"]) not in seen:
            fresh.append(row)
    return rows, fresh


@lru_cache
def base(folder: Path, seed: int) -> Path:
    _, fresh = data(seed)
    sentences = [asked(fresh[0], True)[0]["content"], fresh[0]["traces"][0]["text"]]
    return lively(folder / f"base {seed}", texts=[part for text in sentences for part in text.split("\n\n")], seed=seed)


def judged(folder: Path, seed: int, *, thoughts: bool) -> float:
    """Return how often a judge is right about pairs that it has not seen, in both orders."""
    rows, fresh = data(seed)
    more = {"model": base(folder, seed), "rows": rows, "seed": seed, "thoughts": thoughts, "traces": "all"}
    spec, _ = do(folder / f"judge {seed} {thoughts}", "reasoning-judge", **more, **QUICK)
    found = right_of(f"{spec.output}/model", fresh, longest=24)
    print(seed, thoughts, found, flush=True)
    return found


def test_the_thought_is_what_makes_the_verdict_right(report, tmp_path):
    thinking = [judged(tmp_path, seed, thoughts=True) for seed in SEEDS]
    at_once = judged(tmp_path, SEEDS[0], thoughts=False)
    report(
        CARD,
        "verdicts on unseen pairs that are people's, marks counted in the thought",
        thinking,
        switched_off="the thought: the same verdicts learned, and named at once",
        without=at_once,
        seeds=SEEDS,
        at_least=0.9,
        every_seed=True,
    )
