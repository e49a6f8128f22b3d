"""Card 42, explicit preferences: who says in words what they like is answered so, also if the policy never met them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.core.worlds import write_lines
from tests.experiments.frame import Card
from tests.experiments.world import KINDS, PLAIN, do, lively
from training.core.collate.profile import SECTION

CARD = Card(
    42,
    "Personalised RLHF (P-RLHF), explicit preferences",
    "People say in a text what they like. A policy that learned from the choices of some, each behind their own text, "
    "puts the choices of people it never met right by their text alone, where without it half of them are.",
    "arXiv:2402.05133",
)
SEEDS = (0, 1, 2)
PEOPLE, EACH, STRANGERS, ASKED = 32, 16, 16, 12
KNOBS = {
    "epochs": 6,
    "batch_size": 16,
    "micro_batch": 16,
    "learning_rate": 2e-3,
    "max_length": 128,
    "user_tokens": 1,
    "beta": 0.5,
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
        asked = f"{plain(draw, 4, 6)} {draw.randrange(10**4)}"
        rows.append({"prompt": asked, "chosen": better, "rejected": worse, "annotator": name, "profile": text})
    return rows


def measured(folder: Path, seed: int, *, shuffled: bool = False) -> tuple[float, float]:
    """Return how often a policy puts the choices of strangers right: by their texts, and as it answers anybody."""
    draw = random.Random(f"people {seed}")
    kinds = list(KINDS)
    known = [(f"p{n}", kinds[n % len(kinds)]) for n in range(PEOPLE)]
    texts = [says(draw, liked) for _, liked in known]
    if shuffled:
        draw.shuffle(texts)
    strangers = [(f"s{n}", kinds[n % len(kinds)]) for n in range(STRANGERS)]
    rows = [row for (who, kind), text in zip(known, texts, strict=True) for row in choices(who, kind, text, draw, EACH)]
    asked = [row for who, kind in strangers for row in choices(who, kind, says(draw, kind), draw, ASKED)]
    policy = lively(folder / "policy", texts=[SECTION], seed=seed)
    held = write_lines(folder / "strangers.jsonl", asked)
    _, found = do(folder / "run", "dpo-personal", model=policy, rows=rows, eval_data=str(held), seed=seed, **KNOBS)
    return float(found.metrics["eval_accuracy"]["estimate"]), float(found.metrics["eval_generic_accuracy"])


def test_a_stranger_is_answered_by_what_they_say(report, tmp_path_factory):
    def found(seed: int, *, shuffled: bool = False) -> tuple[float, float]:
        return measured(tmp_path_factory.mktemp("profiles"), seed, shuffled=shuffled)

    figures = [found(seed) for seed in SEEDS]
    by_text, as_anybody = ([one[place] for one in figures] for place in (0, 1))
    others = [found(seed, shuffled=True)[0] for seed in SEEDS]
    report(
        CARD,
        f"accuracy on the choices of {STRANGERS} people whom the policy never met, by their text",
        by_text,
        seeds=SEEDS,
        switched_off="whose text it is: texts shuffled between the people that it learns from",
        without=others,
        at_least=0.85,
        every_seed=True,
    )
    report(
        CARD,
        f"accuracy on the choices of {STRANGERS} people whom the policy never met, by their text, beside none",
        by_text,
        seeds=SEEDS,
        switched_off="the text: the same policy answers them as it answers anybody",
        without=as_anybody,
        at_least=0.85,
        every_seed=True,
    )
    assert max(others + as_anybody) <= 0.65
