"""Card 29: one model judges by the principle it is asked about, also when two principles turn a pair round."""

from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.world import KINDS, PLAIN, do, word_policy
from training.core.scorers import RewardScorer

CARD = Card(
    29,
    "RLBFF: yes or no by a principle that is given at inference",
    "A model asked whether an answer satisfies a principle puts the same two answers in opposite orders under two "
    "principles that conflict; a model that is not told the principle is right about half of them.",
    "arXiv:2509.21319",
)
SEEDS = (0, 1)
PRINCIPLES = tuple(KINDS)


def text(draw: random.Random, has: set[str]) -> str:
    """Return an answer in which exactly the kinds in `has` occur."""
    words = [draw.choice(PLAIN) for _ in range(draw.randint(2, 4))]
    for kind in sorted(has):
        words.insert(draw.randint(0, len(words)), draw.choice(KINDS[kind]))
    return " ".join(words)


def rows(count: int, *, seed: int, told: bool, noise: float = 0.05) -> list[dict[str, Any]]:
    """Judgements of one principle each, of which so many are wrong; when not told, all carry one principle's name."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        has = {kind for kind in PRINCIPLES if draw.random() < 0.5}
        kind = draw.choice(PRINCIPLES)
        yes = (kind in has) != (draw.random() < noise)
        found.append(
            {
                "prompt": f"{draw.choice(PLAIN)} {draw.choice(PLAIN)} {draw.choice(PLAIN)}",
                "completion": text(draw, has),
                "principle": kind if told else "good",
                "answer": "yes" if yes else "no",
            }
        )
    return found


@lru_cache
def trained(folder: Path, seed: int, told: bool) -> dict[str, float]:
    """Return accuracy by principle, and how often a conflicting pair is put right under both of its principles."""
    policy = word_policy(folder / f"policy{seed}{told}", seed=seed)
    spec, _ = do(
        folder / f"{seed}{told}",
        "principle-reward",
        model=policy,
        rows=rows(1200, seed=seed, told=told),
        seed=seed,
        epochs=5,
        batch_size=32,
        micro_batch=32,
        learning_rate=3e-3,
        eval_share=0.0,
    )
    draw = random.Random(5000 + seed)
    names = PRINCIPLES if told else ("good",)
    scorer = RewardScorer(f"{spec.output}/model", device=torch.device("cpu"), principles=names)
    pairs = []
    for _ in range(100):
        one, other = draw.sample(PRINCIPLES, 2)
        rest = {kind for kind in PRINCIPLES if kind not in (one, other) and draw.random() < 0.5}
        pairs.append((one, other, text(draw, rest | {one}), text(draw, rest | {other})))
    prompt = [{"role": "user", "content": "old near one"}]
    texts = [text for *_, a, b in pairs for text in (a, b)]
    values = scorer.columns([prompt] * len(texts), texts).values
    right, said = [], []
    for number, (one, other, _, _) in enumerate(pairs):
        a, b = values[2 * number], values[2 * number + 1]
        first, second = (names.index(kind) if told else 0 for kind in (one, other))
        right.append(fmean((a[first] > b[first], b[second] > a[second])))
        said += [a[first] > 0, b[first] < 0, b[second] > 0, a[second] < 0]
    return {"conflicts": fmean(right), "accuracy": fmean(said)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("principles")


@pytest.mark.experiment
def test_the_principle_decides_a_conflict(report, folder):
    report(
        CARD,
        "conflicting pairs put right under the principle asked about",
        [trained(folder, seed, True)["conflicts"] for seed in SEEDS],
        seeds=SEEDS,
        switched_off="the principle: one name for all",
        without=[trained(folder, seed, False)["conflicts"] for seed in SEEDS],
        at_least=0.93,
        every_seed=True,
    )


@pytest.mark.experiment
def test_yes_and_no_are_right_on_unseen_answers(report, folder):
    report(
        CARD,
        "yes and no right on unseen answers",
        [trained(folder, seed, True)["accuracy"] for seed in SEEDS],
        seeds=SEEDS,
        switched_off="the principle: one name for all",
        without=[trained(folder, seed, False)["accuracy"] for seed in SEEDS],
        at_least=0.93,
        every_seed=True,
    )
