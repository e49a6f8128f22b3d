"""Card 10, discriminator from rewrites: rewritten answers alone make a reward that shortening does not fool."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.world import do
from training.core.scorers import RewardScorer
from training.core.tiny import save_tiny

CARD = Card(
    10,
    "discriminator from rewrites",
    "Texts before and after a rewrite make a reward without anybody comparing answers.",
    "arXiv:2401.15043",
)
SEEDS = (0, 1, 2)
HARD = ["carcinoma", "metastasis", "palliative", "etiology", "lesion", "benign", "prognosis", "resection"]
EASY = ["cancer", "spread", "soothing", "cause", "spot", "harmless", "outlook", "removal"]
CONTENT = ["liver", "lung", "doctor", "scan", "blood", "week", "drug", "skin", "bone", "test", "ward", "pain"]
FILLERS = ["the", "a", "of", "and", "with", "for"]
ASK = [{"role": "user", "content": "say it plainly"}]

pytestmark = pytest.mark.experiment


def original(draw: random.Random) -> list[str]:
    words = draw.choices(HARD, k=3) + draw.choices(CONTENT, k=5) + draw.choices(FILLERS, k=4)
    draw.shuffle(words)
    return words


def rewritten(words: list[str], *, shorter: bool) -> list[str]:
    plain = [EASY[HARD.index(word)] if word in HARD else word for word in words]
    return [word for word in plain if word not in FILLERS] if shorter else plain


def rows(count: int, draw: random.Random, *, swapped: bool = False, shorter: bool = False) -> list[dict]:
    """Rows of the view `pairs` as people's rewrites give them; `swapped` turns half of them round."""
    found = []
    for _ in range(count):
        words = original(draw)
        sides = [" ".join(rewritten(words, shorter=shorter)), " ".join(words)]
        if swapped and draw.random() < 0.5:
            sides.reverse()
        found.append({"prompt": ASK, "chosen": sides[0], "rejected": sides[1]})
    return found


def trained(folder: Path, seed: int, **how: bool) -> RewardScorer:
    words = [f"{blank}{word}" for word in HARD + EASY + CONTENT + FILLERS for blank in ("", " ")]
    base = save_tiny(folder / "base", texts=words * 20, vocab_size=500, seed=seed)
    spec, _ = do(
        folder / "run",
        "style-discriminator",
        model=base,
        rows=rows(200, random.Random(seed), **how),
        seed=seed,
        epochs=6,
        batch_size=16,
        micro_batch=16,
        learning_rate=1e-3,
        eval_share=0.0,
    )
    return RewardScorer(f"{spec.output}/model", device=torch.device("cpu"))


def scores(scorer: RewardScorer, texts: list[list[str]]) -> torch.Tensor:
    found = scorer.score([ASK] * len(texts), [" ".join(words) for words in texts])
    return torch.tensor([one for one in found if one is not None])


def test_rewrites_make_a_reward(report, tmp_path):
    areas: dict[bool, list[float]] = {False: [], True: []}
    doubts: dict[bool, list[float]] = {False: [], True: []}
    for seed in SEEDS:
        draw = random.Random(f"new {seed}")
        before = [original(draw) for _ in range(150)]
        after = [rewritten(original(draw), shorter=False) for _ in range(150)]  # of other texts: nothing is paired
        cut = [[word for word in words if word not in FILLERS] for words in before]
        plain = trained(tmp_path / f"plain {seed}", seed)
        for swapped in (False, True):
            scorer = trained(tmp_path / f"swapped {seed}", seed, swapped=True) if swapped else plain
            gaps = scores(scorer, after).unsqueeze(1) - scores(scorer, before).unsqueeze(0)
            areas[swapped].append(float((gaps > 0).float().mean()))
        for shorter in (False, True):
            scorer = trained(tmp_path / f"shorter {seed}", seed, shorter=True) if shorter else plain
            doubts[shorter].append(float(scores(scorer, cut).sigmoid().mean()))
    report(
        CARD,
        "area under the curve, rewritten against other originals that were not seen",
        areas[False],
        seeds=SEEDS,
        switched_off="half of the rewrites taken for originals",
        without=areas[True],
        at_least=0.95,
        every_seed=True,
    )
    report(
        CARD,
        "probability that an original with words left out is a rewrite",
        doubts[False],
        seeds=SEEDS,
        switched_off="rewrites that are all shorter as well",
        without=doubts[True],
        at_most=0.2,
        every_seed=True,
    )
