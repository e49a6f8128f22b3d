"""Card 18: a reward model keeps its accuracy on words it was not trained on, the reward that a policy implies less."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.experiments.frame import Card
from tests.experiments.world import do
from training.core.tiny import tiny_tokenizer

CARD = Card(
    18,
    "Explicit against implicit reward (DPO)",
    "Where two sets of words mean the same and preferences name only one of them, a reward model carries over to the "
    "other set; the reward that a policy implies carries over less, for it is made of probabilities of the very words.",
    "arXiv:2409.03650",
)
SEEDS = (0, 1, 2, 3, 4)
GOOD = [("sun", "moon"), ("sea", "lake"), ("bird", "hen"), ("tree", "bush")]
BAD = [("saw", "axe"), ("nail", "pin"), ("rope", "cord"), ("key", "lock")]
PLAIN = ["the", "old", "one", "near"]
WORDS = [*PLAIN, *(word for pair in GOOD + BAD for word in pair)]

pytestmark = pytest.mark.experiment


def untied(folder: Path, *, seed: int) -> Path:
    """Write a tiny Llama with an output layer of its own: tied to the embeddings, one word's gain is the other's."""
    tokenizer = tiny_tokenizer([f"{blank}{word}" for word in WORDS for blank in ("", " ")] * 20, vocab_size=400)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=64,
            tie_word_embeddings=False,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def text(draw: random.Random, concepts: list[tuple[str, str]], side: int | None) -> str:
    """Return two words about concepts, of one set of words or of either, among plain ones."""
    words = [concept[draw.randint(0, 1) if side is None else side] for concept in draw.choices(concepts, k=2)]
    words.insert(draw.randint(0, 2), draw.choice(PLAIN))
    return " ".join(words)


def pairs(count: int, side: int, draw: random.Random) -> list[dict]:
    return [
        {
            "prompt": draw.choice(PLAIN),
            "chosen": text(draw, GOOD, side),
            "rejected": text(draw, BAD, side),
            "domain": ("same", "other")[side],
        }
        for _ in range(count)
    ]


def lost(folder: Path, seed: int) -> dict[str, float]:
    """Return the accuracy of both rewards, and what they lose from words trained on to those that mean the same."""
    draw = random.Random(seed)
    quick = {"batch_size": 32, "micro_batch": 64, "eval_share": 0.0, "seed": seed, "checkpoint_every": 1000}
    corpus = [
        {"prompt": draw.choice(PLAIN), "completion": text(draw, draw.choice([GOOD, BAD]), None)} for _ in range(2000)
    ]
    pretrained, _ = do(
        folder / "text",
        "sft",
        model=untied(folder / "base", seed=seed),
        rows=corpus,
        epochs=4,
        learning_rate=3e-3,
        **quick,
    )
    start = Path(pretrained.output) / "model"
    told = pairs(300, 0, draw)
    reward, _ = do(folder / "reward", "bradley-terry", model=start, rows=told, epochs=3, learning_rate=5e-4, **quick)
    policy, _ = do(folder / "policy", "dpo", model=start, rows=told, epochs=3, learning_rate=5e-4, **quick)
    fresh = random.Random(f"fresh {seed}")
    _, result = do(
        folder / "report",
        "shift-report",
        model=Path(policy.output) / "model",
        reference=str(start),
        scorers={"reward": f"{reward.output}/model"},
        rows=pairs(250, 0, fresh) + pairs(250, 1, fresh),
        familiar="same",
    )
    told = {name: value["estimate"] for name, value in result.metrics.items() if isinstance(value, dict)}
    print(json.dumps(told))
    return told


def test_the_explicit_reward_loses_less_where_words_are_new(report, tmp_path):
    found = [lost(tmp_path / str(seed), seed) for seed in SEEDS]
    report(
        CARD,
        "accuracy that the reward model loses on words that mean the same",
        [one["explicit_lost"] for one in found],
        seeds=SEEDS,
        switched_off="a reward head: the reward that the DPO policy implies",
        without=[one["implicit_lost"] for one in found],
        at_most=0.02,
    )
    assert min(one["implicit_accuracy_same"] for one in found) >= 0.9, "on its own words it has to be as good"
