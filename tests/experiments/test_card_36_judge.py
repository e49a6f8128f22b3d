"""Card 36, its warm-up: a judge that imitates only reasoning that came to what people said judges as they do."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.experiments.frame import Card
from tests.experiments.world import KINDS, do, lively
from training.core.backbone import load_policy
from training.core.collate import encode_prompt
from training.core.decode import generate, stop_ids
from training.core.judging import question, verdict

CARD = Card(
    36,
    "Judge that reasons (Think-RM), its warm-up",
    "Traces of a judge that likes showy answers teach that; of these traces the ones that came to what people said "
    "teach what people want. The reinforcement learning that follows in the paper is not part of this.",
    "arXiv:2505.16265",
)
SEEDS = (0, 1)
SHOWY, PLAIN = "very", "some"
GOOD, BAD = ("colour", "food"), ("animal", "tool")

pytestmark = pytest.mark.experiment


def pair(draw: random.Random) -> dict:
    """Return a pair of which the chosen answer has a word of a good kind, with two traces of a judge that likes show.

    Four times in five it takes the showy answer, else the right one; what it thinks is the word of the one it takes.
    """
    kind, other = draw.choice(GOOD), draw.choice(BAD)
    words = [draw.choice(KINDS[kind]), draw.choice(KINDS[other])]
    styles = draw.sample([SHOWY, PLAIN], 2)
    answers = [f"{style} {word}" for style, word in zip(styles, words, strict=True)]
    traces = []
    for first in ("chosen", "rejected"):
        takes = styles.index(SHOWY) if draw.random() < 0.8 else 0
        name = "A" if (takes == 0) == (first == "chosen") else "B"
        traces.append({"text": f"<think>{words[takes]}</think><answer>{name}</answer>", "first": first})
    return {"prompt": "one", "chosen": answers[0], "rejected": answers[1], "traces": traces}


def asked(row: dict, chosen_first: bool) -> list[dict[str, str]]:
    both = (row["chosen"], row["rejected"]) if chosen_first else (row["rejected"], row["chosen"])
    return question([{"role": "user", "content": row["prompt"]}], *both, reasoned=True)


def right_of(folder: str, fresh: list[dict], *, longest: int) -> float:
    """Return how often the judge's own verdict is people's, on these pairs in both orders; unread ones are wrong."""
    model, tokenizer = load_policy(folder)
    orders = [(row, first) for row in fresh for first in (True, False)]
    draws = generate(
        model,
        [encode_prompt(tokenizer, asked(row, first)) for row, first in orders],
        n=1,
        temperature=0,
        max_new_tokens=longest,
        stop=stop_ids(model, tokenizer),
        seeds=[0] * len(orders),
    )
    said = [verdict(str(tokenizer.decode(one.ids, skip_special_tokens=True))) for (one,) in draws]
    return sum(v == ("A" if first else "B") for v, (_, first) in zip(said, orders, strict=True)) / len(orders)


def right(folder: Path, seed: int, *, chosen_traces: bool) -> float:
    """Return how right a judge is that has learned from such traces, or from all of them."""
    draw = random.Random(seed)
    rows, fresh = [pair(draw) for _ in range(2000)], [pair(draw) for _ in range(80)]
    sentences = [asked(fresh[0], True)[0]["content"], fresh[0]["traces"][0]["text"]]
    base = lively(folder / "base", texts=[part for text in sentences for part in text.split("\n\n")], seed=seed)
    quick = {"batch_size": 16, "micro_batch": 16, "learning_rate": 1e-3, "eval_share": 0.0, "seed": seed}
    if chosen_traces:
        spec, _ = do(folder / "run", "reasoning-judge", model=base, rows=rows, max_steps=400, epochs=20, **quick)
    else:
        told = [
            {"prompt": asked(row, trace["first"] == "chosen"), "completion": trace["text"]}
            for row in rows
            for trace in row["traces"]
        ]
        spec, _ = do(folder / "run", "sft", model=base, rows=told, max_steps=400, epochs=20, **quick)
    return right_of(f"{spec.output}/model", fresh, longest=40)


def test_traces_that_came_to_what_people_said_make_a_judge(report, tmp_path):
    found = [right(tmp_path / str(seed), seed, chosen_traces=True) for seed in SEEDS]
    every = right(tmp_path / "every", SEEDS[0], chosen_traces=False)
    print(found, every)
    report(
        CARD,
        "verdicts on unseen pairs that are people's, thought out by the judge itself",
        found,
        seeds=SEEDS,
        switched_off="choosing the traces: all of them imitated",
        without=every,
        at_least=0.7,
        within=(0, 1),
        every_seed=True,
    )
