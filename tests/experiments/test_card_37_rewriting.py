"""Card 37: a model that learned to correct answers says which of their words are wrong."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.world import KINDS, PLAIN, do, lively
from training.core.rewriting import REQUEST, RewriteScorer, asked

CARD = Card(
    37,
    "Rewriting reward model (sequence to sequence)",
    "Learning to turn worse answers into better ones, and to leave good ones alone, gives a reward that finds the "
    "wrong words of an answer; imitating good answers alone finds none of them.",
    "arXiv:2409.00162",
)
SEEDS = (0, 1)
WORDS = 6
# What is right where the prompt asks for the one kind, is wrong where it asks for the other one.
ASKED = ("tool", "food")

pytestmark = pytest.mark.experiment


def pair(draw: random.Random) -> dict[str, str]:
    """Return a pair: a quarter of the worse answer's words are wrong, at least one, and corrected in the better one."""
    kind, other = draw.sample(ASKED, 2)
    twin = dict(zip(KINDS[other], KINDS[kind], strict=True))
    worse = [draw.choice(KINDS[other] if draw.random() < 0.25 else KINDS[kind] + PLAIN) for _ in range(WORDS)]
    if not set(worse) & set(twin):
        worse[draw.randrange(WORDS)] = draw.choice(KINDS[other])
    better = [twin.get(word, word) for word in worse]
    return {"prompt": kind, "chosen": " ".join(better), "rejected": " ".join(worse)}


def found_words(folder: Path, seed: int, *, corrections: bool) -> tuple[float, float]:
    """Return F1 of the words that the model would have written differently, and their share in correct answers."""
    draw = random.Random(seed)
    rows = [pair(draw) for _ in range(1500)]
    fresh = [pair(draw) for _ in range(150)]
    base = lively(folder / "base", texts=[REQUEST], seed=seed)
    quick = {"batch_size": 32, "micro_batch": 32, "learning_rate": 2e-3, "eval_share": 0.0, "seed": seed}
    if corrections:
        spec, _ = do(folder / "run", "seq2seq-reward", model=base, rows=rows, epochs=5, **quick)
    else:  # the identity alone
        told = [
            {"prompt": asked([{"role": "user", "content": row["prompt"]}], row["chosen"]), "completion": row["chosen"]}
            for row in rows
        ]
        spec, _ = do(folder / "run", "sft", model=base, rows=told, epochs=10, **quick)
    scorer = RewriteScorer(f"{spec.output}/model", device=torch.device("cpu"))
    prompts = [[{"role": "user", "content": row["prompt"]}] for row in fresh]
    hits = misses = alarms = 0
    for row, credit in zip(fresh, scorer.credit(prompts, [row["rejected"] for row in fresh]), strict=True):
        for word, own in zip(row["rejected"].split(), _by_word(credit), strict=True):
            wrong = word not in KINDS[row["prompt"]] + PLAIN
            hits += wrong and own < 0
            misses += wrong and own >= 0
            alarms += not wrong and own < 0
    clean = scorer.credit(prompts, [row["chosen"] for row in fresh])
    words = [own < 0 for credit in clean for own in _by_word(credit)]
    return 2 * hits / max(2 * hits + misses + alarms, 1), sum(words) / len(words)


def _by_word(credit) -> list[float]:
    """Return the least credit of each word's tokens; the end is no word."""
    found: list[float] = []
    for token, own in list(zip(credit.tokens, credit.hard, strict=True))[:-1]:
        if token.startswith(" ") or not found:
            found.append(own)
        else:
            found[-1] = min(found[-1], own)
    return found


def test_the_wrong_words_are_found(report, tmp_path):
    found = [found_words(tmp_path / f"whole{seed}", seed, corrections=True) for seed in SEEDS]
    alone = found_words(tmp_path / "identity", SEEDS[0], corrections=False)
    print(found, alone)
    report(
        CARD,
        "F1 of the wrong words among those that the model would have written differently",
        [f1 for f1, _ in found],
        seeds=SEEDS,
        switched_off="corrections: good answers imitated alone",
        without=alone[0],
        at_least=0.75,
        every_seed=True,
    )
    assert max(alarm for _, alarm in found) <= 0.02, "words of correct answers are called wrong"
