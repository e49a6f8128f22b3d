"""Card 28: a gate over the prompt finds which attribute counts, where no fixed weights can; and length is taken out."""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from tests.experiments.frame import Card
from tests.experiments.world import learn, pairs_of, reward_on, sequences
from training.core.batch import Labelled
from training.core.heads import MIXED, AttributesHead, gated
from training.core.losses.bradley_terry import bradley_terry
from training.core.losses.regression import regression
from training.core.objectives import pair_scores, pointwise

CARD = Card(
    28,
    "Multi-objective ratings and a mixture-of-experts gate (ArmoRM)",
    "Where each kind of prompt is judged by an attribute of its own, a gate over the prompt learns which from pairs; "
    "no fixed weights do. Ratings of which seven in ten are missing suffice, and the score is free of length.",
    "arXiv:2406.12845",
)
SEEDS = (0, 1, 2)
NAMES = ("kind", "clear", "correct", "safe", "short", "verbosity")
WIDE, RATED, PAIRS, TEST, KINDS = 32, 3000, 3000, 600, 3


@lru_cache
def world(seed: int) -> dict[str, np.ndarray]:
    """Points whose attributes are linear, the last one leaking into the others; prompts of three kinds."""
    draw = np.random.default_rng(seed)
    count = RATED + 2 * (PAIRS + TEST)
    answers = draw.normal(size=(count, WIDE))
    directions = np.linalg.qr(draw.normal(size=(WIDE, len(NAMES))))[0].T
    pure = answers @ directions.T
    rated = pure + 0.6 * pure[:, -1:] * (np.arange(len(NAMES)) < len(NAMES) - 1)
    centres = draw.normal(size=(KINDS, WIDE))
    kinds = draw.integers(0, KINDS, PAIRS + TEST)
    prompts = centres[kinds] * 2 + draw.normal(size=(PAIRS + TEST, WIDE)) * 0.5
    return {"answers": answers, "pure": pure, "rated": rated, "kinds": kinds, "prompts": prompts}


def judged(seed: int, gate: bool):
    """Return a trained gate (or one whose gate reads nothing of the prompt), and the pairs it has not seen."""
    made = world(seed)
    torch.manual_seed(seed)
    draw = np.random.default_rng(50 + seed)
    table = np.concatenate([made["answers"], made["prompts"]])
    attributes = AttributesHead(WIDE, NAMES)
    labels = np.where(draw.random((RATED, len(NAMES))) < 0.3, made["rated"][:RATED], np.nan)
    model = reward_on(table, attributes)

    def ratings(rows: np.ndarray) -> Labelled:
        told = torch.tensor(labels[rows], dtype=torch.float32)
        return Labelled(sequences(rows, rows), told, torch.ones(len(rows)))

    learn(model, pointwise, regression, ratings, RATED, epochs=12, rate=1e-2, seed=seed)
    head = gated(WIDE, NAMES, attributes, gate_width=32, gate_temperature=1.0, nuisance="verbosity", debias_limit=0.03)
    reference = sequences(np.arange(1000), np.arange(1000))
    model = reward_on(table, head)
    with torch.no_grad():
        head.prepare(model.outputs(reference.input_ids, reference.attention_mask, reference.completion_mask))
    first = RATED + 2 * np.arange(PAIRS + TEST)
    prompts = len(made["answers"]) + np.arange(PAIRS + TEST)
    told = made["pure"][first, made["kinds"]] - made["pure"][first + 1, made["kinds"]]
    wins = draw.random(PAIRS + TEST) < 1 / (1 + np.exp(-told * 4))
    wins[PAIRS:] = told[PAIRS:] > 0
    chosen, rejected = np.where(wins, first, first + 1), np.where(wins, first + 1, first)
    asked = prompts if gate else np.zeros_like(prompts)
    learn(
        model,
        pair_scores,
        partial(bradley_terry, strength_as="none", margin_scale=1.0),
        lambda rows: pairs_of(asked[rows], chosen[rows], rejected[rows], rows),
        PAIRS,
        epochs=12,
        rate=3e-3,
        seed=seed,
        size=100,
    )
    test = np.arange(PAIRS, PAIRS + TEST)
    return model, pairs_of(asked[test], chosen[test], rejected[test], test), made["kinds"][test]


def accuracy(model, batch) -> float:
    tokens = batch.tokens
    with torch.no_grad():
        scores = model.scores(tokens.input_ids, tokens.attention_mask, tokens.completion_mask)
    chosen, rejected = scores.chunk(2)
    return float((chosen > rejected).float().mean())


@pytest.mark.experiment
def test_the_gate_finds_what_counts_for_which_prompt(report):
    found, off, right = [], [], []
    for seed in SEEDS:
        model, batch, kinds = judged(seed, gate=True)
        found.append(accuracy(model, batch))
        off.append(accuracy(*judged(seed, gate=False)[:2]))
        with torch.no_grad():
            states = model.states(batch.tokens.input_ids, batch.tokens.attention_mask, batch.tokens.completion_mask)
            weights = model.head.weights(states[1])
            total = model.head.contributions(*states).sum(-1)
            mixed = model.head(*states)[:, model.head.names.index(MIXED)]
        assert torch.allclose(total, mixed, atol=1e-4), "the contributions are not the score"
        assert torch.equal(*weights.chunk(2)), "the weights depend on the answer"
        right.append(float((weights.chunk(2)[0].argmax(-1).numpy() == kinds).mean()))
    print(found, off, right)
    named = {"seeds": SEEDS, "switched_off": "the gate reads no prompt: fixed weights", "every_seed": True}
    report(CARD, "accuracy on unseen pairs", found, without=off, at_least=0.93, **named)
    assert min(right) > 0.9


@pytest.mark.experiment
def test_no_attribute_leans_on_length_any_more(report):
    """On answers that neither the ratings nor the reference set had."""
    found, off = [], []
    for seed in SEEDS:
        model, _, _ = judged(seed, gate=True)
        fresh = torch.tensor(np.random.default_rng(900 + seed).normal(size=(2000, WIDE)), dtype=torch.float32)
        with torch.no_grad():
            freed, plain = model.head.debiased(fresh).numpy(), model.head.attributes(fresh).numpy()
        found.append(max(abs(spearmanr(freed[:, j], plain[:, -1])[0]) for j in range(len(NAMES) - 1)))
        off.append(max(abs(spearmanr(plain[:, j], plain[:, -1])[0]) for j in range(len(NAMES) - 1)))
    report(
        CARD,
        "largest rank correlation of an attribute with verbosity, on answers not used to remove it",
        found,
        seeds=SEEDS,
        switched_off="debiasing",
        without=off,
        at_most=0.1,
        every_seed=True,
    )
