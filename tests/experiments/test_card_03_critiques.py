"""Card 3: a model that first writes what is good or bad about an answer learns from far fewer pairs what is better."""

from __future__ import annotations

import random
from pathlib import Path
from statistics import fmean

import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.world import KINDS, PLAIN, do, lively
from training.core.critiques import CritiqueScorer
from training.core.records import CRITICISE
from training.core.scorers import RewardScorer

CARD = Card(
    3,
    "Critique, then score (MM-RLHF)",
    "A critique says of every word how it counts, a preference only which answer is better: from eighty pairs a model "
    "learns to rank unseen answers behind critiques of its own, and a scalar reward model of the same pairs does not.",
    "arXiv:2502.10391",
)
SEEDS = (0, 1)
PAIRS = 80

pytestmark = pytest.mark.experiment


def answer(draw: random.Random, good: bool) -> tuple[str, str]:
    """Return three words and what there is to say about them, word by word.

    Each word is of one half of its kind or of the other, and an answer is good when an even number is of the second
    half: no word says anything by itself, and no two do. A critique tells after each word how it stands so far.
    """
    while True:
        words = [draw.choice(KINDS[kind]) for kind in ("colour", "animal", "food")]
        odd, said = False, []
        for word, kind in zip(words, ("colour", "animal", "food"), strict=True):
            odd ^= KINDS[kind].index(word) >= len(KINDS[kind]) // 2
            said += [word, "old" if odd else "one"]
        if odd != good:
            return " ".join(words), " ".join(said)


def pairs(count: int, draw: random.Random) -> list[dict]:
    found = []
    for _ in range(count):
        (chosen, praise), (rejected, blame) = answer(draw, True), answer(draw, False)
        asked = draw.choice(PLAIN)
        found.append({"prompt": asked, "chosen": chosen, "rejected": rejected, "praise": praise, "blame": blame})
    return found


def accuracy(folder: Path, seed: int) -> dict[str, float]:
    """Return how many unseen pairs each model ranks right, and how many critiques it writes as a person would."""
    draw = random.Random(seed)
    told, fresh = pairs(PAIRS, draw), pairs(150, draw)
    base = lively(folder / "base", texts=[CRITICISE], seed=seed)
    quick = {"epochs": 60, "batch_size": 16, "micro_batch": 16, "learning_rate": 2e-3, "eval_share": 0.0, "seed": seed}
    rows = [
        {
            "prompt": pair["prompt"],
            "completion": pair[side],
            "critique": pair[said],
            "score": points,
            "annotator": str(n),  # so that nobody's two answers are held against another's
        }
        for n, pair in enumerate(told)
        for side, said, points in (("chosen", "praise", 5), ("rejected", "blame", 1))
    ]
    critic, _ = do(folder / "critic", "critique-reward", model=base, rows=rows, **quick)
    plain = [{name: pair[name] for name in ("prompt", "chosen", "rejected")} for pair in told]
    scalar, _ = do(folder / "scalar", "bradley-terry", model=base, rows=plain, **quick)
    prompts = [[{"role": "user", "content": pair["prompt"]}] for pair in fresh]
    writer = CritiqueScorer(f"{critic.output}/model", device=torch.device("cpu"), max_new_tokens=8)
    found: dict[str, float] = {}
    good, bad = (writer.criticise(prompts, [pair[side] for pair in fresh]) for side in ("chosen", "rejected"))
    found["critic"] = fmean(a[1] > b[1] for a, b in zip(good, bad, strict=True) if a and b)
    found["written"] = fmean(a[0].strip() == pair["praise"] for a, pair in zip(good, fresh, strict=True) if a)
    scorer = RewardScorer(f"{scalar.output}/model", device=torch.device("cpu"))
    sides = [scorer.score(prompts, [pair[side] for pair in fresh]) for side in ("chosen", "rejected")]
    found["scalar"] = fmean(a > b for a, b in zip(*sides, strict=True))
    return found


def test_a_model_ranks_behind_its_own_critiques(report, tmp_path):
    found = [accuracy(tmp_path / str(seed), seed) for seed in SEEDS]
    print(found)
    report(
        CARD,
        "unseen pairs ranked right by scores behind critiques that the model wrote itself",
        [one["critic"] for one in found],
        seeds=SEEDS,
        switched_off="critiques: a scalar reward model on the same pairs",
        without=[one["scalar"] for one in found],
        at_least=0.9,
        every_seed=True,
    )
