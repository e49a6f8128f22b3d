"""Card 42, explicit preferences: who says in words what they like is answered so, also if the policy never met them.

By log-probabilities on choices that people made, and by what the policy says itself: of two answers of its own, one
given the person's text and one without, the better one by what this person likes.

The paper leaves open which loss of pairs it is. With that of DPO, at a beta of a half, the choices came out as right
(0.99 on the first seed), and what the policy said itself was worse by the text than without it (0.36): its first words
were of the kind, and then it fell apart, as that loss only asks that the other answer gets less likely still. NCA
(arXiv:2402.05369) also asks that the chosen one gets likelier.
"""

from __future__ import annotations

import json
import random
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from tempfile import mkdtemp
from typing import Any

import pytest

from tests.core.worlds import write_lines
from tests.experiments.frame import Card
from tests.experiments.world import KINDS, PLAIN, do, fitted, lively
from training.core.collate.profile import SECTION
from training.core.stats import Interval, bootstrap_mean

CARD = Card(
    42,
    "Personalised RLHF (P-RLHF), explicit preferences",
    "People say in a text what they like. A policy that learned from the choices of some, each behind their own text, "
    "puts the choices of people it never met right by their text alone, where without it half of them are, and its own "
    "answers to them are what they like.",
    "arXiv:2402.05133",
)
SEEDS = (0, 1, 2)
PEOPLE, EACH, STRANGERS, ASKED = 32, 16, 16, 12
DRAWN = 4  # answers to a prompt
KNOBS = {
    "epochs": 8,
    "batch_size": 16,
    "micro_batch": 16,
    "learning_rate": 2e-3,
    "max_length": 128,
    "user_tokens": 1,
    "loss_type": "nca",
    "beta": 0.2,
    "eval_share": 0.0,
}

pytestmark = pytest.mark.experiment


def plain(draw: random.Random, low: int, high: int) -> str:
    return " ".join(draw.choice(PLAIN) for _ in range(draw.randint(low, high)))


def says(draw: random.Random, liked: str) -> str:
    """Return what somebody says who likes words of a kind, with other words around it."""
    return f"{plain(draw, 1, 2)} {liked} {plain(draw, 1, 2)}"


def choices(name: str, liked: str, text: str, draw: random.Random, count: int) -> list[dict[str, Any]]:
    """Return so many pairs of one person: of words of two kinds, the kind that they like is preferred.

    The other kind is any, so that nothing but who is asked tells which of two answers is the better one.
    """
    rows = []
    for _ in range(count):
        other = draw.choice([kind for kind in KINDS if kind != liked])
        better, worse = (" ".join(draw.choice(KINDS[kind]) for _ in range(3)) for kind in (liked, other))
        rows.append(
            {"prompt": plain(draw, 4, 6), "chosen": better, "rejected": worse, "annotator": name, "profile": text}
        )
    return rows


@lru_cache
def start(seed: int) -> Path:
    """Return a policy that answers with three words of any one kind, whoever asks."""
    root, draw = Path(mkdtemp()), random.Random(f"start {seed}")
    rows = [
        {"prompt": plain(draw, 4, 6), "completion": " ".join(draw.choice(words) for _ in range(3))}
        for words in list(KINDS.values()) * 300
    ]
    base = lively(root / "policy", texts=[SECTION], seed=seed)
    return fitted(root / "run", "sft", model=base, rows=rows, seed=seed, batch=32, epochs=2, learning_rate=3e-3)


def answers(policy: Path, rows: list[dict[str, Any]], *, seed: int) -> list[list[str]]:
    """Return what a policy says to each prompt, with the text of who asks where the row has one."""
    knobs = {"samples_per_prompt": DRAWN, "max_new_tokens": 6}
    spec, _ = do(Path(mkdtemp()), "sample", model=policy, rows=rows, seed=seed, **knobs)
    lines = (Path(spec.output) / "samples.jsonl").read_text().splitlines()
    told = {row["id"]: [answer["text"] for answer in row["completions"]] for row in map(json.loads, lines)}
    return [told[row["id"]] for row in rows]


def worth(text: str, liked: str) -> float:
    """Return the share of an answer's words that somebody likes."""
    words = text.split()
    return sum(word in KINDS[liked] for word in words) / max(len(words), 1)


def wins(policy: Path, strangers: list[tuple[str, str, str]], *, seed: int) -> Interval:
    """Return how often a policy's answers with a text are liked better than those without it, over people.

    A tie is half a win. `strangers` are names, what each likes and what each says.
    """
    draw = random.Random(f"asked {seed}")
    asked = [{"id": f"{who} {n}", "prompt": plain(draw, 4, 6)} for who, _, _ in strangers for n in range(ASKED)]
    texts = [text for _, _, text in strangers for _ in range(ASKED)]
    informed = [row | {"profile": text} for row, text in zip(asked, texts, strict=True)]
    both = zip(answers(policy, informed, seed=seed), answers(policy, asked, seed=seed), strict=True)
    shares: list[list[float]] = [[] for _ in strangers]
    for place, (given, none) in enumerate(both):
        _, liked, _ = strangers[place // ASKED]
        for one, other in zip(given, none, strict=True):
            gap = worth(one, liked) - worth(other, liked)
            shares[place // ASKED].append(0.5 + 0.5 * ((gap > 0) - (gap < 0)))
    return bootstrap_mean([fmean(share) for share in shares])


@lru_cache
def measured(seed: int, *, shuffled: bool = False) -> tuple[float, float, Interval]:
    """Return how often a policy puts the choices of strangers right, by their texts and as it answers anybody.

    And how often they like what it says better where it reads their text.
    """
    draw = random.Random(f"people {seed}")
    kinds = list(KINDS)
    known = [(f"p{n}", kinds[n % len(kinds)]) for n in range(PEOPLE)]
    texts = [says(draw, liked) for _, liked in known]
    if shuffled:
        draw.shuffle(texts)
    strangers = [(f"s{n}", kind, says(draw, kind)) for n, kind in enumerate(kinds * (STRANGERS // len(kinds)))]
    rows = [row for (who, kind), text in zip(known, texts, strict=True) for row in choices(who, kind, text, draw, EACH)]
    asked = [row for who, kind, text in strangers for row in choices(who, kind, text, draw, ASKED)]
    folder = Path(mkdtemp())
    held = write_lines(folder / "strangers.jsonl", asked)
    _, found = do(folder / "run", "dpo-personal", model=start(seed), rows=rows, eval_data=str(held), seed=seed, **KNOBS)
    by_text, as_anybody = found.metrics["eval_accuracy"]["estimate"], found.metrics["eval_generic_accuracy"]
    return float(by_text), float(as_anybody), wins(folder / "run" / "model", strangers, seed=seed)


def test_a_stranger_is_answered_by_what_they_say(report):
    figures = [measured(seed) for seed in SEEDS]
    others = [measured(seed, shuffled=True) for seed in SEEDS]
    print(figures, others, flush=True)
    shuffled = "whose text it is: texts shuffled between the people that it learns from"
    report(
        CARD,
        f"accuracy on the choices of {STRANGERS} people whom the policy never met, by their text",
        [by_text for by_text, _, _ in figures],
        seeds=SEEDS,
        switched_off=shuffled,
        without=[by_text for by_text, _, _ in others],
        at_least=0.85,
        every_seed=True,
    )
    report(
        CARD,
        f"accuracy on the choices of {STRANGERS} people whom the policy never met, by their text, beside none",
        [by_text for by_text, _, _ in figures],
        seeds=SEEDS,
        switched_off="the text: the same policy answers them as it answers anybody",
        without=[as_anybody for _, as_anybody, _ in figures],
        at_least=0.85,
        every_seed=True,
    )
    report(
        CARD,
        "how often they like the policy's own answers better where it reads their text, lower end of the interval",
        [won["low"] for _, _, won in figures],
        seeds=SEEDS,
        switched_off=shuffled,
        without=[won["low"] for _, _, won in others],
        at_least=0.5,
        every_seed=True,
    )
    assert max([by_text for by_text, _, _ in others] + [as_anybody for _, as_anybody, _ in figures]) <= 0.65
