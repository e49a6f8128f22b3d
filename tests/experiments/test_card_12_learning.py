"""Card 12: a tiny language model climbs a gold reward in forty iterations of `ppo-max`, through the recipe's own run.

The policy starts from demonstrations of random words. Gold is the share of an answer's words that are of the kind its
prompt names; it stands where a reward model would, and is told at an answer's end.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.world import answer, do, gold, lively, prompt
from training.core.backbone import load_policy
from training.core.collate import encode_prompt
from training.core.decode import generate, stop_ids
from training.core.records import Message
from training.core.sampler import text_of
from training.core.scorers import Columns
from training.core.trainers import onpolicy

CARD = Card(
    12,
    "PPO-max, learning",
    "A tiny Llama that says words at random comes to say those that a gold reward pays for, in forty iterations.",
    "arXiv:2307.04964",
)
SEEDS = (0, 1)

pytestmark = pytest.mark.experiment


class Gold:
    """Pays what answers are worth; with `shuffled`, each answer what another one of the same batch is worth."""

    def __init__(self, *, shuffled: bool, seed: int) -> None:
        self.draw = random.Random(seed) if shuffled else None

    def score(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> list[float | None]:
        worth: list[float | None] = [gold(p[-1]["content"], text) for p, text in zip(prompts, texts, strict=True)]
        if self.draw is not None:
            self.draw.shuffle(worth)
        return worth

    def columns(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> Columns:
        worth = self.score(prompts, texts)
        return Columns(("gold",), [[one or 0.0] for one in worth], [None] * len(worth), worth)


def says(folder: Path, *, count: int = 200) -> float:
    """Return the mean gold of sampled answers to fresh prompts."""
    model, tokenizer = load_policy(str(folder))
    draw = random.Random("fresh")
    prompts = [prompt(draw) for _ in range(count)]
    ids = [encode_prompt(tokenizer, [{"role": "user", "content": one}]) for one in prompts]
    stop = stop_ids(model, tokenizer)
    drawn = generate(model, ids, n=1, temperature=1.0, max_new_tokens=8, stop=stop, seeds=[*range(count)])
    told = [text_of(tokenizer, one[0].ids[: -1 if one[0].ended else None]) for one in drawn]
    return sum(map(gold, prompts, told)) / count


@lru_cache
def start(seed: int) -> Path:
    root, draw = Path(mkdtemp()), random.Random(f"start {seed}")
    rows = [{"prompt": prompt(draw), "completion": answer(draw)} for _ in range(1600)]
    knobs = {"batch_size": 32, "micro_batch": 32, "eval_share": 0.0, "epochs": 1, "learning_rate": 3e-3}
    do(root / "sft", "sft", model=lively(root / "lively", seed=seed), rows=rows, seed=seed, **knobs)
    return root / "sft" / "model"


def climbed(seed: int, monkeypatch: pytest.MonkeyPatch, *, shuffled: bool = False) -> float:
    """Return the gold of what forty iterations make of the start."""
    torch.set_num_threads(1)
    draw, folder = random.Random(f"asked {seed}"), Path(mkdtemp())
    rows = [{"id": str(n), "prompt": prompt(draw)} for n in range(320)]
    monkeypatch.setattr(onpolicy, "load_scorers", lambda paths, **more: {"reward": Gold(shuffled=shuffled, seed=seed)})
    knobs = {"iterations": 40, "prompts_per_iteration": 32, "samples_per_prompt": 4, "max_new_tokens": 8}
    knobs |= {"batch_size": 64, "micro_batch": 64, "passes": 4, "rows_at_once": 128, "checkpoint_every": 40}
    rates = {"learning_rate": 3e-3, "critic_learning_rate": 3e-3, "eval_share": 0.0, "critic_warmup": 2}
    more = {"scorers": {"reward": "gold"}, "seed": seed, **knobs, **rates}
    do(folder, "ppo-max", model=start(seed), rows=rows, **more)
    return says(folder / "model")


def test_a_language_model_climbs_the_gold_reward(report, monkeypatch):
    before = [says(start(seed)) for seed in SEEDS]
    assert max(before) <= 0.3, "nothing is learned where it is known before"
    report(
        CARD,
        "gold of answers to fresh prompts after 40 iterations of ppo-max, from 0.2 before",
        [climbed(seed, monkeypatch) for seed in SEEDS],
        seeds=SEEDS,
        switched_off="the reward: each answer is paid what another one is worth",
        without=[climbed(seed, monkeypatch, shuffled=True) for seed in SEEDS],
        at_least=0.6,
        every_seed=True,
    )
    print(before)
