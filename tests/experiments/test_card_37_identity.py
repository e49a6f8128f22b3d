"""Card 37: what is to correct answers has to see right ones left alone, or it finds fault with them.

All items of the worse answers here are wrong: what is right in one of the two kinds of prompt is wrong in the other, so
that whether a word is wrong depends on the prompt. A model that only ever corrects has no reason to look there.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from tests.experiments.test_card_37_rewriting import ASKED, CARD
from tests.experiments.world import KINDS, do, lively
from training.core.rewriting import REQUEST, RewriteScorer

SEEDS = (0, 1)
ITEMS = 4

pytestmark = pytest.mark.experiment


def pair(draw: random.Random) -> dict[str, str]:
    """Return two numbered lists: of things of the kind that was asked for, and of their counterparts of the other."""
    kind, other = draw.sample(ASKED, 2)
    places = [draw.randrange(len(KINDS[kind])) for _ in range(ITEMS)]
    better, worse = (
        " ".join(f"{number} {words[place]}" for number, place in enumerate(places, start=1))
        for words in (KINDS[kind], KINDS[other])
    )
    return {"prompt": kind, "chosen": better, "rejected": worse}


def blamed(folder: Path, seed: int, *, identity: bool) -> tuple[float, float]:
    """Return the share of the tokens of right answers that are found wrong, and of the wrong words of worse ones.

    Without the identity each pair is seen twice as often instead, so that both take as many steps.
    """
    draw = random.Random(seed)
    rows = [pair(draw) for _ in range(1000)]
    fresh = [pair(draw) for _ in range(150)]
    numbers = [f"{blank}{n}" for n in range(1, ITEMS + 1) for blank in ("", " ")]
    base = lively(folder / "base", texts=[REQUEST, *numbers], seed=seed)
    quick = {"batch_size": 32, "micro_batch": 32, "learning_rate": 2e-3, "eval_share": 0.0, "checkpoint_every": 10_000}
    spec, _ = do(
        folder / "run",
        "seq2seq-reward",
        model=base,
        rows=rows,
        seed=seed,
        identity=identity,
        epochs=6 if identity else 12,
        **quick,
    )
    scorer = RewriteScorer(f"{spec.output}/model", device=torch.device("cpu"))
    prompts = [[{"role": "user", "content": row["prompt"]}] for row in fresh]
    right, wrong = (scorer.credit(prompts, [row[side] for row in fresh]) for side in ("chosen", "rejected"))
    alarms = [own < 0 for credit in right for own in credit.hard]
    words = [own < 0 for credit in wrong for own in credit.hard[1::2]]  # number, word, number, word, …, end
    return sum(alarms) / len(alarms), sum(words) / len(words)


def test_right_answers_are_left_alone(report, tmp_path):
    found = [blamed(tmp_path / f"whole{seed}", seed, identity=True) for seed in SEEDS]
    corrected = blamed(tmp_path / "corrections", SEEDS[0], identity=False)
    print(found, corrected)
    assert min(hits for _, hits in [*found, corrected]) >= 0.9, "the wrong words are not found"
    report(
        CARD,
        "tokens of right answers that the model would have written differently, where all of a worse answer is wrong",
        [alarms for alarms, _ in found],
        seeds=SEEDS,
        switched_off="the identity: corrections alone",
        without=corrected[0],
        at_most=0.02,
        every_seed=True,
    )
    assert corrected[0] >= max(alarms for alarms, _ in found) + 0.1
