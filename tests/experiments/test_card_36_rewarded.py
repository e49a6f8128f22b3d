"""Card 36, its second step: a judge that was shown a little reasoning learns to judge by thinking for itself."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.experiments.frame import Card
from tests.experiments.test_card_36_judge import asked, pair, right_of
from tests.experiments.world import do, lively

CARD = Card(
    36,
    "Judge that reasons (Think-RM)",
    "Of a few traces of a judge that likes showy answers, those that came to what people said begin a judge; rewarded "
    "for verdicts that are people's, by thoughts of its own, it gets right what imitating the same traces for as long "
    "does not. A policy learns from such verdicts alone, and a judge whose verdict is the place teaches it nothing.",
    "arXiv:2505.16265",
)
SEEDS = (0, 1)
TRACED, PAIRS, FRESH, WARM, UPDATES = 150, 2000, 80, 300, 100

pytestmark = pytest.mark.experiment


def shares(folder: Path, seed: int, *, rewarded: bool) -> tuple[float, float]:
    """Return how often the judge is right after its warm-up and at the end.

    The warm-up has traces of few pairs; with rewards, people's verdicts on many follow. Without, the same traces are
    imitated for as many steps again.
    """
    draw = random.Random(seed)
    rows, fresh = [pair(draw) for _ in range(PAIRS)], [pair(draw) for _ in range(FRESH)]
    sentences = [asked(fresh[0], True)[0]["content"], fresh[0]["traces"][0]["text"]]
    base = lively(folder / "base", texts=[part for text in sentences for part in text.split("\n\n")], seed=seed)
    imitating = {"rows": rows[:TRACED], "max_steps": WARM, "epochs": 1000}
    imitating |= {"batch_size": 16, "micro_batch": 16, "learning_rate": 1e-3}
    more = {"eval_share": 0.0, "seed": seed}
    warm, _ = do(folder / "warm", "reasoning-judge", model=base, **imitating, **more)
    begun = f"{warm.output}/model"
    if rewarded:
        pairs = [{name: row[name] for name in ("prompt", "chosen", "rejected")} for row in rows]
        rl = {
            "iterations": UPDATES,
            "prompts_per_iteration": 8,
            "batch_size": 64,
            "micro_batch": 64,
            "rows_at_once": 64,
        }
        rl |= {"max_new_tokens": 16, "learning_rate": 1e-3, "kl_weight": 0.05, "missing_end_penalty": 0.5}
        spec, _ = do(folder / "rl", "reasoning-judge-rl", model=begun, rows=pairs, **rl, **more)
    else:
        spec, _ = do(folder / "on", "reasoning-judge", model=begun, **imitating, **more)
    return right_of(begun, fresh, longest=16), right_of(f"{spec.output}/model", fresh, longest=16)


def test_rewarded_for_its_verdicts_a_judge_learns_what_its_traces_did_not_show(report, tmp_path):
    rewarded = [shares(tmp_path / str(seed), seed, rewarded=True) for seed in SEEDS]
    imitated = shares(tmp_path / "imitated", SEEDS[0], rewarded=False)
    print(rewarded, imitated)
    assert all(warm < 0.9 for warm, _ in rewarded), "the warm-up alone is to leave something to learn"
    report(
        CARD,
        f"verdicts on unseen pairs that are people's, after {UPDATES} updates by reward",
        [end for _, end in rewarded],
        seeds=SEEDS,
        switched_off="the reward: the same traces imitated for as many steps again",
        without=imitated[1],
        at_least=0.9,
        every_seed=True,
    )
