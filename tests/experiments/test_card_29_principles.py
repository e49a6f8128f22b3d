"""Card 29: one model judges by the principle it is asked about, also when two principles turn a pair round."""

from __future__ import annotations

import random
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.world import KINDS, PLAIN, do, lively
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

pytestmark = pytest.mark.experiment


def text(draw: random.Random, has: Iterable[str]) -> str:
    """Return an answer in which exactly the kinds in `has` occur."""
    words = [draw.choice(PLAIN)]
    for kind in sorted(has):
        words.insert(draw.randint(0, len(words)), draw.choice(KINDS[kind]))
    return " ".join(words)


def rows(count: int, *, seed: int, told: bool, noise: float = 0.05) -> list[dict[str, Any]]:
    """Judgements of one principle each, of which so many are wrong; when not told, all carry one principle's name.

    Every answer has two of the four kinds, so that nothing but the principle says yes or no: where answers have any
    number of them, a model first learns to count kinds, which is right in 65 of 100, and stays there for long.
    """
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        has = draw.sample(PRINCIPLES, 2)
        kind = draw.choice(PRINCIPLES)
        yes = (kind in has) != (draw.random() < noise)
        found.append(
            {
                "prompt": draw.choice(PLAIN),
                "completion": text(draw, has),
                "principle": kind if told else "good",
                "answer": "yes" if yes else "no",
            }
        )
    return found


@lru_cache
def trained(folder: Path, seed: int, told: bool) -> dict[str, float]:
    """Return how often a conflicting pair is put right under both of its principles, and yes and no are right."""
    spec, _ = do(
        folder / f"{seed}{told}",
        "principle-reward",
        model=lively(folder / f"policy{seed}{told}", seed=seed),
        rows=rows(6000, seed=seed, told=told),
        seed=seed,
        epochs=4,
        batch_size=32,
        micro_batch=32,
        learning_rate=1e-3,
        eval_share=0.0,
        checkpoint_every=2000,
    )
    draw = random.Random(5000 + seed)
    names = PRINCIPLES if told else ("good",)
    scorer = RewardScorer(f"{spec.output}/model", device=torch.device("cpu"), principles=names)
    pairs = []
    for _ in range(150):
        one, other, third = draw.sample(PRINCIPLES, 3)
        pairs.append((one, other, text(draw, (third, one)), text(draw, (third, other))))
    prompt = [{"role": "user", "content": "old"}]
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


@pytest.mark.parametrize(
    ("figure", "says"),
    [
        ("conflicts", "conflicting pairs put right under the principle asked about"),
        ("accuracy", "yes and no right on unseen answers"),
    ],
)
def test_the_principle_that_is_asked_about_decides(report, folder, figure, says):
    """The card asks for 0.95 in one and 0.93 in the other; without the principle a conflict is right by half."""
    found = [trained(folder, seed, True)[figure] for seed in SEEDS]
    blind = trained(folder, SEEDS[0], False)[figure]
    print(figure, found, blind)
    report(
        CARD,
        says,
        found,
        seeds=SEEDS,
        switched_off="the principle: one name for all",
        without=blind,
        at_least=0.93 if figure == "conflicts" else 0.95,
        within=(0, 1),
        every_seed=True,
    )
    assert 0.45 <= blind <= 0.55, "a model that is told no principle cannot know"
