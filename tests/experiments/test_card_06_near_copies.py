"""Card 6: of prompts that resemble each other, what an ensemble disagrees on is not worth asking about each time."""

from __future__ import annotations

import itertools

import pytest

from tests.experiments.frame import Card
from tests.experiments.test_card_06_active_selection import BATCH, SEEDS, learning

CARD = Card(
    6,
    "Active query selection, prompts with near copies",
    "Where each prompt has near copies, asking about the head of a list by disagreement teaches no more than a draw; "
    "worth that counts for less near a prompt that is asked already teaches more.",
    "arXiv:1708.00489",
)
COPIES = 10  # prompts that differ in one word of ten, and pairs that differ by a tenth


def after(labels: int, rule: str, seed: int, *, words: bool = True) -> float:
    """Return how much is ranked right after so many labels where each prompt has near copies."""
    return next(itertools.islice(learning(rule, seed, copies=COPIES, words=words), labels // BATCH - 1, None))


@pytest.mark.experiment
def test_prompts_that_resemble_each_other_are_not_asked_one_after_the_other(report):
    drawn = [after(200, "uniform", seed) for seed in SEEDS]
    found = [after(200, "disagreement", seed) - plain for seed, plain in zip(SEEDS, drawn, strict=True)]
    head = [after(200, "disagreement", seed, words=False) - plain for seed, plain in zip(SEEDS, drawn, strict=True)]
    print(drawn, found, head)
    report(
        CARD,
        "unseen pairs ranked right after 200 labels, above random pairs, where each prompt has nine near copies",
        found,
        seeds=SEEDS,
        switched_off="the prompts' words: by disagreement alone",
        without=head,
        at_least=0.0,
    )
